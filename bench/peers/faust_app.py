"""Faust (faust-streaming): an agent that takes batches, raw bytes in and out, parsed by msgspec."""

import aiokafka
import faust
from job import BROKERS, GROUP, SOURCE, TARGET, Delay, decode, encode, numbers, predict

BATCH = 1_000  # events


class Committed(aiokafka.AIOKafkaConsumer):
    """Faust has no setting for it: without its own transactions it would also read what was never committed."""

    def __init__(self, *topics, **settings):
        super().__init__(*topics, **{**settings, "isolation_level": "read_committed"})


aiokafka.AIOKafkaConsumer = Committed

app = faust.App(
    GROUP,
    broker=[f"kafka://{each}" for each in BROKERS.split(",")],
    store="memory://",
    web_enabled=False,
    topic_partitions=4,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    stream_buffer_maxsize=16 * BATCH,
    stream_wait_empty=False,
    broker_max_poll_records=10 * BATCH,
    broker_commit_every=10 * BATCH,
    producer_acks=-1,
    producer_compression_type="lz4",
    producer_linger_ms=50,
    producer_max_batch_size=1 << 20,
)
source = app.topic(SOURCE, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")
target = app.topic(TARGET, value_type=bytes, value_serializer="raw", key_type=bytes, key_serializer="raw")


@app.agent(source)
async def handle(stream):
    async for taken in stream.take_events(BATCH, within=0.1):
        events = [decode(each.value) for each in taken]
        delays = predict([numbers(event) for event in events])
        for each, event, delay in zip(taken, events, delays, strict=True):
            await target.send(key=each.key, value=encode(Delay(event.flight, delay)))


if __name__ == "__main__":
    faust.Worker(app, loglevel="warning").execute_from_commandline()
