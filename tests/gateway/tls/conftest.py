"""Doors within TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Issuer, Pair, issuer, pair, till
from tests.gateway.test_server import Running, running

from penstock.clock import SystemClock
from penstock.gateway.tls.certificates import TLSFiles
from penstock.gateway.tls.renewal import Certificates
from penstock.gateway.wire import protocol
from penstock.settings import Settings

__all__ = ["issuer", "pair", "till"]

LIMITS = Settings(body_limit=1 << 20, header_timeout=0.5, body_timeout=0.5, connection_limit=50)
Open = Callable[..., Running]


@pytest.fixture
def serve(tmp_path: Path, issuer: Issuer, pair: Pair) -> Iterator[Open]:
    """A server with such settings and files."""
    with ExitStack() as stack:

        def opened(settings: Settings = LIMITS, shown: Pair | None = None, **files: Any) -> Running:
            made = replace(TLSFiles((shown or pair).certificate, (shown or pair).key), **files)
            certificates = Certificates(made, SystemClock())
            return stack.enter_context(running(tmp_path, settings, certificates, issuer.client()))

        yield opened


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endings, of which there are many here, wait for a client's silence."""
    monkeypatch.setattr(protocol, "QUIET_S", 0.2)


@pytest.fixture
def server(serve: Open) -> Running:
    return serve()
