from __future__ import annotations

import pytest
from tests.certificates import Issuer, Pair, needs_openssl


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    needs_openssl()
    return Issuer(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def pair(issuer: Issuer) -> Pair:
    """Of a server on this machine."""
    return issuer.issue()


@pytest.fixture(scope="session")
def till(issuer: Issuer) -> Pair:
    """Of a client."""
    return issuer.issue("/O=Shop/CN=till 7", (), use="clientAuth")
