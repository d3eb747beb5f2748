"""What holds for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from .brokers.fixtures import (
    BROKERS,
    UNDER_LOGS,
    UNDER_SYSTEMS,
    _three,
    certificates,
    hub,
    kafka,
    prefix,
    secured,
    three,
)
from .buckets.fixtures import bucket, moto

__all__ = ["_three", "bucket", "certificates", "hub", "kafka", "moto", "prefix", "secured", "three"]

settings.register_profile("shared machine", deadline=None)  # a test never asserts a time
settings.load_profile("shared machine")

# Training threads spin while they wait for each other: with a test on every core that takes minutes from all of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--log", choices=("sqlite", "kafka"), default="sqlite", help="where tests/e2e keep their logs")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For ``--dist loadgroup``: a file stays in one process, but what shares brokers is where they are.

    That comes first: these groups take longest, and mostly wait.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: not _shares_brokers(item))


def _group(item: pytest.Item) -> str:
    if not BROKERS.intersection(getattr(item, "fixturenames", ())):
        return item.path.stem
    room = item.path.relative_to(Path(__file__).parent).parts[0]
    return UNDER_LOGS if room in ("brokers", "log") else UNDER_SYSTEMS


def _shares_brokers(item: pytest.Item) -> bool:
    return any(mark.args[0] in (UNDER_LOGS, UNDER_SYSTEMS) for mark in item.iter_markers("xdist_group"))
