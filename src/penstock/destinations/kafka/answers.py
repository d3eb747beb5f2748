"""What librdkafka's report of a record means for a parcel.

The names of outcomes, and how long a lane is left alone after each, are Event Grid's:
https://learn.microsoft.com/azure/event-grid/delivery-and-retry
"""

from __future__ import annotations

from confluent_kafka import KafkaError

TOO_LARGE = {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.RECORD_LIST_TOO_LARGE}
UNFIT = {KafkaError.INVALID_RECORD, KafkaError.POLICY_VIOLATION, KafkaError._BAD_MSG, KafkaError._INVALID_ARG}
FORBIDDEN = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
}
ABOUT_THE_PARCEL = TOO_LARGE | UNFIT
"""They say nothing of the topic's health, and another attempt changes nothing."""

FINAL = ABOUT_THE_PARCEL | FORBIDDEN
UNAUTHORIZED = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL}

_OUTCOMES = {
    **dict.fromkeys(TOO_LARGE, "PayloadTooLarge"),
    **dict.fromkeys(UNFIT, "BadRequest"),
    **dict.fromkeys(FORBIDDEN, "Forbidden"),
    **dict.fromkeys(UNAUTHORIZED, "Unauthorized"),
    KafkaError.UNKNOWN_TOPIC_OR_PART: "NotFound",
    KafkaError._UNKNOWN_TOPIC: "NotFound",
    KafkaError._UNKNOWN_PARTITION: "NotFound",
    KafkaError._MSG_TIMED_OUT: "TimedOut",
    KafkaError._TIMED_OUT: "TimedOut",
    KafkaError._TIMED_OUT_QUEUE: "TimedOut",
    KafkaError.REQUEST_TIMED_OUT: "TimedOut",
    KafkaError._TRANSPORT: "SocketError",
    KafkaError._ALL_BROKERS_DOWN: "SocketError",
    KafkaError._RESOLVE: "ResolutionError",
}


def outcome_of(code: int) -> str:
    """Of an error that is not here: the cluster is busy with itself, as while another replica becomes the leader."""
    return _OUTCOMES.get(code, "Busy")
