"""The example of two groups of different speed, with real flights: on one machine, on Kafka, as on Event Hubs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import polars as pl
import pytest

from penstock.batch import Batch
from penstock.clock import SystemClock
from penstock.demo import flights
from penstock.run.compose.backends import open_log
from penstock.run.directory import DataDirectory
from penstock.settings import Settings
from tests.brokers.cluster import SASL_TLS, Cluster
from tests.brokers.identity import CLIENT_ID, identity_endpoint, tokens
from tests.brokers.node import CONNECTION_STRING
from tests.brokers.tls import Authority
from tests.e2e import rig, steps
from tests.e2e.rig import eventually
from tests.e2e.test_hosts import OUTPUTS_ONE_COMMIT_LATE

EXAMPLE = Path(__file__).parents[2] / "examples" / "scalable_ingestion"
EVENTS = 800
RECOVERY_S = 180.0  # seconds: a whole host after another's death, on a machine with other work
SLOW_S = 0.03  # seconds of one question, so that the slow group is behind when the quick one is done


@dataclass
class Ingestion:
    """Where the example runs, and how its events get there."""

    directory: Path
    log: str = ""  # a URL; empty: in the directory, or where ``--log`` has it
    env: Mapping[str, str] = field(default_factory=dict)
    send: tuple[str, ...] = ()  # what the plain Kafka client is told; none: over HTTP

    def running(self) -> AbstractContextManager[rig.Rig]:
        env = {"BOOKINGS_SECONDS": str(SLOW_S), **self.env}
        return rig.running(EXAMPLE / "app.py", self.directory, workers=2, env=env, log=self.log)

    def publish(self, url: str) -> None:
        if self.send:
            said = produce(str(EVENTS), *self.send, env=self.env)
            assert said.startswith(f"{EVENTS:,} events sent to "), said
            return
        body = [json.loads(line) for line in produce(str(EVENTS)).splitlines()]
        httpx.post(f"{url}/topics/departures/events", json=body, timeout=30).raise_for_status()

    def stored(self, topic: str) -> pl.DataFrame:
        """With where each row is and where it came from, in the order of the partitions."""
        log = open_log(
            DataDirectory(self.directory), SystemClock(), Settings(), self.log or rig.log_url(self.directory)
        )
        with closing(log), closing(log.reader(None, [topic], "verify")) as reader:
            batches: list[Batch] = []
            while found := reader.read(50_000, 0.0):
                batches.extend(found)
        return rig.frame(batches).sort("partition", "offset")


def produce(*words: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / "produce.py"), *words],
        env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=rig.PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def lags(url: str) -> tuple[int, int]:
    """How many departures the quick group has still to deal with, and the slow one; of one look."""
    left: dict[str, int] = {}
    for part in httpx.get(f"{url}/groups", timeout=30).json():
        left[part["group"]] = left.get(part["group"], 0) + part["lag_events"]
    return left.get("prepare", EVENTS), left.get("rebook", EVENTS)


def check(ingestion: Ingestion) -> None:
    """All departures come in; the quick group is done while the slow one is not; the host dies, and another goes on."""
    with ingestion.running() as one:
        ingestion.publish(one.url)
        looks: list[tuple[int, int]] = []

        def quick_is_done() -> bool:
            looks.append(lags(one.url))
            return looks[-1][0] == 0

        assert eventually(quick_is_done), looks[-3:]
        assert looks[-1][1] > 0, "the slow group is as quick: the test shows nothing"
        one.perish()
    with ingestion.running() as other:
        assert eventually(lambda: lags(other.url) == (0, 0), RECOVERY_S), lags(other.url)
        assert other.stop() == 0
    judge(ingestion)


def judge(ingestion: Ingestion) -> None:
    departures = ingestion.stored("departures")
    sent = flights.load().filter(pl.col("month") == 11).select(flights.EVENT).head(EVENTS)
    assert departures.select(flights.EVENT).sort(flights.EVENT).equals(sent.sort(flights.EVENT)), "not what was sent"
    assert sorted(departures["partition"].unique()) == [0, 1, 2, 3]
    order = sent.filter(pl.col("tailnum").is_not_null()).with_columns(number=pl.int_range(pl.len()).over("tailnum"))
    for topic in ("features", "stranded"):
        made = ingestion.stored(topic)
        rig.assert_each_parent_once(departures, made)
        steps.assert_follows(made)
        came = made.filter(pl.col("tailnum").is_not_null())
        came = came.with_columns(number=pl.int_range(pl.len()).over("tailnum"))
        assert came.group_by("tailnum").agg(pl.col("partition").n_unique())["partition"].max() == 1
        both = came.join(order, on=["tailnum", "number"], suffix="_sent")
        assert both.height == order.height and (both["flight"] == both["flight_sent"]).all(), "a key's order is lost"


def test_on_one_machine(tmp_path: Path) -> None:
    check(Ingestion(tmp_path))


def test_mutant_positions_before_outputs_are_caught(tmp_path: Path) -> None:
    env = rig.planted(tmp_path / "plant", OUTPUTS_ONE_COMMIT_LATE, "penstock.run.worker")
    with pytest.raises(AssertionError, match="never handled"):
        check(Ingestion(tmp_path / "data", env=env))


def test_on_kafka_from_a_plain_client(kafka: str, prefix: str, tmp_path: Path) -> None:
    log = f"kafka://{kafka}/{prefix.rstrip('.')}"
    check(Ingestion(tmp_path, log, send=("--brokers", kafka, "--topic", f"{prefix}departures")))


def test_as_on_event_hubs_from_a_plain_client(
    hub: Cluster, certificates: Authority, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The app by a managed identity, as it is deployed; who sends has a connection string of his own."""
    ca, where = certificates.certificate, hub.address(SASL_TLS)
    with identity_endpoint(tokens()) as endpoint:
        for name, value in endpoint.environ.items():
            monkeypatch.setenv(name, value)
        log = f"kafka+eventhubs://{where}/{prefix.rstrip('.')}?identity={CLIENT_ID}&ca={ca}"
        send = ("--brokers", where, "--topic", f"{prefix}departures", "-X", f"ssl.ca.location={ca}")
        check(Ingestion(tmp_path, log, {"EVENTHUBS_CONNECTION_STRING": CONNECTION_STRING}, send))
