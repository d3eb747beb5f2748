"""Quix Streams: an event at a time, all that it has for events of many keys; bytes in and out, parsed by msgspec."""

from job import BROKERS, CONSUMER, GROUP, PRODUCER, SOURCE, TARGET, Delay, decode, encode, numbers, predict
from quixstreams import Application

app = Application(
    broker_address=BROKERS,
    consumer_group=GROUP,
    auto_offset_reset="earliest",
    consumer_extra_config={"isolation.level": CONSUMER["isolation.level"]},
    producer_extra_config={**PRODUCER, "queue.buffering.max.messages": 1_000_000},
    auto_create_topics=False,
    loglevel="WARNING",
)
source = app.topic(SOURCE, value_deserializer="bytes")
target = app.topic(TARGET, value_serializer="bytes")


def handle(value: bytes) -> bytes:
    event = decode(value)
    [delay] = predict([numbers(event)])
    return encode(Delay(event.flight, delay))


app.dataframe(source).apply(handle).to_topic(target)

if __name__ == "__main__":
    app.run()
