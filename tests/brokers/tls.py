"""Certificates for the TLS listeners, made anew for each test run."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.brokers.jars import Missing
from tests.certificates import Issuer, Pair


@dataclass(frozen=True)
class Authority:
    """A certificate authority (``certificate``), and a key with a certificate of it for a broker (``keystore``, and as
    files apart)."""

    certificate: Path
    keystore: Path
    broker: Pair


def authority(directory: Path) -> Authority:
    """An authority that nobody else trusts, with a certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        raise Missing("there is no openssl on the path to make the certificates with")
    issuer = Issuer(directory)
    broker = issuer.issue("/CN=127.0.0.1", use="serverAuth,clientAuth")  # brokers are clients of each other
    keystore = directory / "broker.pem"
    keystore.write_text(broker.key.read_text() + broker.certificate.read_text())
    return Authority(issuer.certificate, keystore, broker)
