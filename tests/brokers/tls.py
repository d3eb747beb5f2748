"""Certificates for the TLS listeners, made anew for each test run."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.brokers.jars import Missing

SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost\n"
EC_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


@dataclass(frozen=True)
class Authority:
    """A certificate authority (``certificate``), and a key with a certificate of it for a broker (``keystore``)."""

    certificate: Path
    keystore: Path


def authority(directory: Path) -> Authority:
    """An authority that nobody else trusts, with a certificate for 127.0.0.1."""
    if shutil.which("openssl") is None:
        raise Missing("there is no openssl on the path to make the certificates with")
    directory.mkdir(parents=True)
    (directory / "server.ext").write_text(SERVER)
    for command in (
        f"req -x509 {EC_KEY} -days 2 -subj /CN=tests -keyout ca.key -out ca.pem",
        f"req {EC_KEY} -subj /CN=127.0.0.1 -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem",
    ):
        done = subprocess.run(
            ["openssl", *command.split()], cwd=directory, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"openssl {command}: {done.stderr}"
    keystore = directory / "broker.pem"
    keystore.write_text((directory / "server.key").read_text() + (directory / "server.pem").read_text())
    return Authority(directory / "ca.pem", keystore)
