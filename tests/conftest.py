"""What holds for all tests."""

import pytest
from hypothesis import settings

from .brokers.fixtures import _three, certificates, hub, kafka, prefix, secured, three
from .buckets.fixtures import bucket, moto

__all__ = ["_three", "bucket", "certificates", "hub", "kafka", "moto", "prefix", "secured", "three"]

settings.register_profile("shared machine", deadline=None)  # a test never asserts a time
settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--log", choices=("sqlite", "kafka"), default="sqlite", help="where tests/e2e keep their logs")
