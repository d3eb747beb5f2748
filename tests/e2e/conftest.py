"""With ``--log kafka`` every run keeps its log on a real broker; what is about the embedded log's file is left out.

Without it, what is marked ``also_on_kafka`` runs on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.fixtures import broker_group
from tests.e2e import rig


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.config.getoption("--log") == "sqlite" and metafunc.definition.get_closest_marker("also_on_kafka"):
        on_kafka = pytest.param("kafka", marks=pytest.mark.xdist_group(broker_group(Path(metafunc.module.__file__))))
        metafunc.parametrize("_its_log", ["sqlite", on_kafka], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--log") == "kafka":
        for item in items:
            if item.get_closest_marker("embedded"):
                item.add_marker(pytest.mark.skip(reason="about the embedded log's file"))


@pytest.fixture(scope="session", autouse=True)
def _log(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.config.getoption("--log") == "kafka":
        rig.brokers = request.getfixturevalue("kafka")
    yield
    rig.brokers = None


@pytest.fixture(autouse=True)
def _its_log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if getattr(request, "param", "sqlite") == "kafka":
        monkeypatch.setattr(rig, "brokers", request.getfixturevalue("kafka"))
