"""What holds for all tests."""

import os
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from penstock import notices
from penstock.settings import DEV
from tests import least
from tests.brokers.fixtures import (
    BROKERS,
    GROUP,
    _three,
    alone,
    broker_group,
    certificates,
    hub,
    kafka,
    prefix,
    secured,
    three,
)
from tests.buckets.fixtures import bucket, moto

__all__ = ["_three", "alone", "bucket", "certificates", "hub", "kafka", "moto", "prefix", "secured", "three"]

LONGEST = ("deliver", "e2e")  # folders of tests with brokers
FUNCTION = re.compile(r"^(?:    (?=def test_))?def (\w+)", re.MULTILINE)  # of a module, or a test in a class
EXPECTED = re.compile(r"\braises\([^:]*\b(?:AssertionError|fail\.Exception)\b")

settings.register_profile("shared machine", deadline=None)  # a test never asserts a time
settings.load_profile("shared machine")

# Training threads spin while they wait for each other: with a test on every core that takes minutes from all of them.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def _as_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the notices of the tests before it in this process, and without what ``penstock dev`` tells what it
    starts: a run would else take a changed model or column for one that somebody works on."""
    monkeypatch.setattr(notices, "_notices", notices.Notices())
    monkeypatch.delenv(DEV, raising=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--log", choices=("sqlite", "kafka"), default="sqlite", help="where tests/e2e keep their logs")
    parser.addoption(least.OPTION, choices=least.MODES, help="on runs that want keys: see tests/least.py")


def pytest_configure(config: pytest.Config) -> None:
    if mode := config.getoption(least.OPTION):
        config.pluginmanager.register(least.turned_on(mode))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For ``--dist loadgroup``: a file stays in one process, and so does what needs a broker in a folder.

    Not so end to end, where a broker is one that every process has. What needs brokers comes first, and first of that
    what takes minutes: these groups mostly wait. First of all such hooks, for ``-m`` to see the mark.

    A planted bug that needs two processes to meet may be missed by luck, which says nothing of the product: it gets
    three tries, and the summary names each. Any other test has one, unless a wait in it ran out (pyproject.toml).
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(_group(item)))
        if _shares_brokers(item):
            item.add_marker(pytest.mark.broker)
        if item.name.partition("[")[0] in _planted(item.path):
            item.add_marker(pytest.mark.flaky(reruns=2, only_rerun=["."]))
    items.sort(key=lambda item: (not _shares_brokers(item), item.path.parent.name not in LONGEST))


@cache
def _planted(file: Path) -> frozenset[str]:
    """The tests that expect an assertion to fail, since they planted what it is about."""
    functions = FUNCTION.split(file.read_text())
    named = zip(functions[1::2], functions[2::2], strict=True)
    return frozenset(name for name, body in named if EXPECTED.search(body))


def _group(item: pytest.Item) -> str:
    shares = BROKERS.intersection(getattr(item, "fixturenames", ()))
    return broker_group(item.path) if shares else item.path.stem


def _shares_brokers(item: pytest.Item) -> bool:
    return any(mark.args[0].startswith(GROUP) for mark in item.iter_markers("xdist_group"))
