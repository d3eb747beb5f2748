"""With ``--log kafka`` every run keeps its log on a real broker; what is about the embedded log's file is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from . import rig


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
