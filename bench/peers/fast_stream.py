"""FastStream on confluent-kafka: batches in and out, no validation by Pydantic, and a decoder of our own by msgspec."""

import asyncio

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaPublishMessage
from faststream.confluent.message import KafkaMessage
from job import BROKERS, GROUP, PRODUCER, SOURCE, TARGET, Delay, Departure, decode, encode, numbers, predict

BATCH = 1_000  # events

broker = KafkaBroker(
    BROKERS,
    acks=PRODUCER["acks"],
    enable_idempotence=PRODUCER["enable.idempotence"],
    compression_type=PRODUCER["compression.type"],
    apply_types=False,
    logger=None,
)


async def decoded(message: KafkaMessage) -> list[tuple[bytes, Departure]]:
    return [(raw.key(), decode(raw.value())) for raw in message.raw_message]


@broker.subscriber(
    SOURCE,
    group_id=GROUP,
    auto_offset_reset="earliest",
    isolation_level="read_committed",
    batch=True,
    max_records=BATCH,
    decoder=decoded,
    ack_policy=AckPolicy.ACK,
)
async def handle(events: list[tuple[bytes, Departure]]) -> None:
    delays = predict([numbers(event) for _, event in events])
    made = [
        KafkaPublishMessage(encode(Delay(event.flight, delay)), key=key)
        for (key, event), delay in zip(events, delays, strict=True)
    ]
    await broker.publish_batch(*made, topic=TARGET)


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
