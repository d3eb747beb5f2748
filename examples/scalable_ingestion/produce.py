"""Sends the first flights of November to a topic, with a plain Kafka client that knows nothing of Penstock.

    python produce.py 10000 --brokers HOST:PORT --topic TOPIC [-X NAME=VALUE …]

Each event is a record: its JSON as the value, and the aircraft as the key. ``-X`` sets what librdkafka is told, such as
security.protocol. With EVENTHUBS_CONNECTION_STRING in the environment the brokers are those of Event Hubs. Without
--brokers the events are printed, one a line.
"""

import argparse
import json
import os
from typing import Any

import polars as pl
from confluent_kafka import KafkaError, Message, Producer

from penstock.demo.flights import EVENT, load


def settings(brokers: str, more: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "bootstrap.servers": brokers,
        "acks": "all",
        "enable.idempotence": True,  # a record that is sent again is not there twice, and overtakes none
        "partitioner": "murmur2_random",  # as Java's clients and Penstock's doors have it
    }
    if string := os.environ.get("EVENTHUBS_CONNECTION_STRING"):
        given |= {"security.protocol": "sasl_ssl", "sasl.mechanism": "PLAIN"}
        given |= {"sasl.username": "$ConnectionString", "sasl.password": string}
    return given | dict(each.split("=", 1) for each in more)


def send(events: list[dict[str, Any]], producer: Producer, topic: str) -> None:
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)

    for event in events:
        while True:
            try:
                producer.produce(topic, json.dumps(event), event["tailnum"], on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
    if left := producer.flush(60):
        raise SystemExit(f"{left} events were not acknowledged within a minute")
    if failed:
        raise SystemExit(f"{len(failed)} events were refused: {failed[0].str()}")
    print(f"{len(events):,} events sent to {topic}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=int)
    parser.add_argument("--brokers")
    parser.add_argument("--topic", default="departures")
    parser.add_argument("-X", dest="more", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    events = load().filter(pl.col("month") == 11).select(EVENT).head(given.events).to_dicts()
    if given.brokers:
        send(events, Producer(settings(given.brokers, given.more)), given.topic)
    else:
        print(*map(json.dumps, events), sep="\n")


if __name__ == "__main__":
    main()
