"""A loop by hand on confluent-kafka, one event at a time: at least once, positions stored behind outputs."""

from confluent_kafka import Consumer, KafkaException, Message, Producer
from job import BROKERS, CONSUMER, GROUP, PRODUCER, SOURCE, TARGET, Delay, decode, encode, numbers, predict

COMMIT = 1_000  # events

consumer = Consumer({"bootstrap.servers": BROKERS, "group.id": GROUP, "enable.auto.commit": False, **CONSUMER})
producer = Producer({"bootstrap.servers": BROKERS, "queue.buffering.max.messages": 1_000_000, **PRODUCER})


def handle(message: Message) -> None:
    event = decode(message.value())
    [delay] = predict([numbers(event)])
    producer.produce(TARGET, encode(Delay(event.flight, delay)), message.key(), message.partition())
    producer.poll(0)


consumer.subscribe([SOURCE])
done = 0
while True:
    message = consumer.poll(0.1)
    if message is not None:
        if message.error() is not None:
            raise KafkaException(message.error())
        handle(message)
        done += 1
    if done and (message is None or done >= COMMIT):
        producer.flush()
        consumer.commit(asynchronous=False)
        done = 0
