"""The brokers as pytest fixtures; ``tests/conftest.py`` makes them known to every test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.brokers import jars
from tests.brokers.cluster import Cluster, running
from tests.brokers.hub import running_hub
from tests.brokers.jars import Missing
from tests.brokers.tls import Authority, authority

BROKERS = frozenset({"alone", "kafka", "secured", "hub", "three"})
"""The fixtures that start some. An idle one takes a twentieth of a core, so those of few modules end with each."""

GROUP = "brokers of "
"""Before a folder's name: the group of its tests that stay in one process, and so share one ``kafka``."""


def broker_group(file: Path) -> str:
    """Of a file's tests. Those end to end take longest, so each file has a group: every process has its ``kafka`` by
    the time."""
    folder = file.parent.name
    return f"{GROUP}{folder}, {file.stem}" if folder == "e2e" else GROUP + folder


@contextmanager
def or_skip() -> Iterator[None]:
    """What this machine lacks skips the test; in CI it is a failure, not a skip that nobody sees."""
    try:
        yield
    except Missing as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a single broker that many tests share: name topics and groups after ``prefix``.

    ``KAFKA_BOOTSTRAP`` uses one that is there.
    """
    there = os.environ.get("KAFKA_BOOTSTRAP")
    if there:
        yield there
        return
    with or_skip():
        jars.classpath()
    with running(tmp_path_factory.mktemp("kafka")) as cluster:
        yield cluster.bootstrap


@pytest.fixture
def prefix() -> str:
    """A prefix for the names of this test's topics, groups and transactional ids."""
    return f"t{uuid.uuid4().hex[:10]}."


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that signed the certificate of ``secured``."""
    with or_skip():
        return authority(tmp_path_factory.mktemp("tls") / "own")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory, certificates: Authority) -> Iterator[Cluster]:
    """A single broker of our own with all four kinds of listener, whatever ``KAFKA_BOOTSTRAP`` says."""
    with or_skip():
        jars.classpath()
    with running(tmp_path_factory.mktemp("secured"), authority=certificates) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, certificates: Authority) -> Iterator[Cluster]:
    """A single broker of our own that refuses transactions, as Event Hubs Standard does."""
    with or_skip():
        jars.classpath()
    with running_hub(tmp_path_factory.mktemp("hub"), certificates) as cluster:
        yield cluster


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A single broker for one test, which may do to it what no other would like."""
    with or_skip():
        jars.classpath()
    with running(tmp_path_factory.mktemp("alone")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def _three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with or_skip():
        jars.classpath()
    with running(tmp_path_factory.mktemp("three"), nodes=3) as cluster:
        yield cluster


@pytest.fixture
def three(_three: Cluster) -> Iterator[Cluster]:
    """Three brokers of our own, replication 3; what a test kills or hangs is healed afterwards."""
    yield _three
    _three.heal()
