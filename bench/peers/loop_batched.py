"""A loop by hand on confluent-kafka, batched: at least once, positions stored behind outputs, no transactions."""

from confluent_kafka import Consumer, KafkaException, Message, Producer
from job import BROKERS, CONSUMER, GROUP, PRODUCER, SOURCE, TARGET, Delay, decode, encode, numbers, predict

BATCH = 1_000  # events
COMMIT = 10 * BATCH

consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": GROUP, "enable.auto.commit": False, **CONSUMER})
producer = Producer({"bootstrap.servers": BROKERS, "queue.buffering.max.messages": 1_000_000, **PRODUCER})


def handle(messages: list[Message]) -> None:
    for message in messages:
        if message.error() is not None:
            raise KafkaException(message.error())
    events = [decode(message.value()) for message in messages]
    delays = predict([numbers(event) for event in events])
    for message, event, delay in zip(messages, events, delays, strict=True):
        producer.produce(TARGET, encode(Delay(event.flight, delay)), message.key(), message.partition())
    producer.poll(0)


consumer.subscribe([SOURCE])
done = 0
while True:
    messages = consumer.consume(BATCH, 0.1)
    if messages:
        handle(messages)
        done += len(messages)
    if done and (not messages or done >= COMMIT):
        producer.flush()
        consumer.commit(asynchronous=False)
        done = 0
