from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.access.oidc.issuers import (
    LoopbackIssuer,
    key,
    loopback_issuer,
    written,
)

from penstock.access.oidc.issuer import SIGNED_WITH
from penstock.access.oidc.tokens import Tokens
from penstock.clock import ManualClock

PINNED = {"alg": "RS256"}  # what the key "pinned" says that it is for


@pytest.fixture
def issuer() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as found:
        found.publishes(key("one"))
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def there() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as found:
        found.publishes(
            key("one"), key("curve", "P-256"), key("edwards", "Ed25519"), written(key("pinned"), **PINNED),
            key("curve-384", "P-384"), key("curve-521", "P-521"),
        )  # fmt: skip
        yield found


def fetched(there: LoopbackIssuer, **more: Any) -> Tokens:
    """The fetch is on this thread."""
    found = Tokens(there.settings(**more), ManualClock())
    found.keys.refresh()
    return found


@pytest.fixture(scope="module")
def tokens(there: LoopbackIssuer) -> Tokens:
    return fetched(there, algorithms=tuple(SIGNED_WITH))


@pytest.fixture
def fresh(there: LoopbackIssuer) -> Tokens:
    """They remember nothing yet."""
    return fetched(there)
