"""Bytewax: batches from its own source, flat-mapped as batches, to its own sink; positions kept by its recovery."""

from datetime import timedelta
from pathlib import Path

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main
from job import BROKERS, CONSUMER, PRODUCER, SOURCE, TARGET, Delay, decode, encode, numbers, predict

BATCH = 1_000  # events
BROKER_LIST = BROKERS.split(",")


def texts(settings: dict) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in settings.items()}


def handle(messages: list[KafkaSourceMessage]) -> list[KafkaSinkMessage]:
    events = [decode(message.value) for message in messages]
    delays = predict([numbers(event) for event in events])
    return [
        KafkaSinkMessage(message.key, encode(Delay(event.flight, delay)))
        for message, event, delay in zip(messages, events, delays, strict=True)
    ]


flow = Dataflow("flights")
source = KafkaSource(BROKER_LIST, [SOURCE], add_config=texts(CONSUMER), batch_size=BATCH)
scored = op.flat_map_batch("score", op.input("departures", flow, source), handle)
# It flushes behind every batch: to linger would only hold each of them back.
op.output("delays", scored, KafkaSink(BROKER_LIST, TARGET, add_config=texts({**PRODUCER, "linger.ms": 0})))

if __name__ == "__main__":
    kept = Path("recovery")
    kept.mkdir()
    init_db_dir(kept, 1)
    cli_main(flow, epoch_interval=timedelta(seconds=5), recovery_config=RecoveryConfig(str(kept), timedelta(0)))
