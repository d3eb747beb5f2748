from collections.abc import Iterator

import pytest
from tests.access.oidc.issuers import LoopbackIssuer, key, loopback_issuer

from penstock.clock import ManualClock


@pytest.fixture
def issuer() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as found:
        found.publishes(key("one"))
        yield found


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
