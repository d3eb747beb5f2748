"""Certificates for tests: an authority that nobody else trusts, and what it signs, made anew by openssl."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

EC_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
HERE = ("IP:127.0.0.1", "DNS:localhost")
SETTINGS = """
[ca]
default_ca = authority
[authority]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
unique_subject = no
[any]
organizationName = optional
commonName = optional
"""
EXTENSIONS = """
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = {use}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM."""

    certificate: Path
    key: Path

    def put(self, certificate: Path, key: Path) -> None:
        """In the place of others, as who renews them does."""
        for new, place in ((self.certificate, certificate), (self.key, key)):
            draft = place.with_name(f".{place.name}")
            shutil.copyfile(new, draft)
            draft.replace(place)


class Issuer:
    """An authority. ``certificate`` is what others have to trust."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._count = 0
        self.certificate = folder / "ca.pem"
        (folder / "ca.cnf").write_text(SETTINGS)
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        uses = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._run(*f"req -x509 {EC_KEY} -days 2 -subj /CN={name} -keyout ca.key -out ca.pem".split(), *uses)

    def issue(
        self,
        subject: str = "/CN=server",
        names: Sequence[str] = HERE,
        *,
        use: str = "serverAuth",
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(days=90),
    ) -> Pair:
        """``begins`` and ``ends`` are from now on."""
        self._count += 1
        made = Pair(self._folder / f"{self._count}.pem", self._folder / f"{self._count}.key")
        alternatives = f"subjectAltName = {','.join(names)}\n" if names else ""
        (self._folder / "extensions").write_text(EXTENSIONS.format(use=use) + alternatives)
        self._run(*f"req {EC_KEY} -keyout {made.key.name} -out request -subj".split(), subject)
        now = datetime.now(UTC)
        dates = [(now + each).strftime("%Y%m%d%H%M%SZ") for each in (begins, ends)]
        self._run(
            *"ca -batch -config ca.cnf -cert ca.pem -keyfile ca.key -in request -notext -extfile extensions".split(),
            *("-out", made.certificate.name, "-startdate", dates[0], "-enddate", dates[1]),
        )
        return made

    def encrypted(self, pair: Pair, passphrase: str) -> Pair:
        made = Pair(pair.certificate, pair.key.with_suffix(".encrypted"))
        self._run(*f"pkey -aes128 -in {pair.key.name} -out {made.key.name} -passout".split(), f"pass:{passphrase}")
        return made

    def client(self, shown: Pair | None = None) -> ssl.SSLContext:
        """What trusts this authority, and shows that."""
        context = ssl.create_default_context(cafile=self.certificate)
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            ["openssl", *command], cwd=self._folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"openssl {' '.join(command)}: {done.stderr}"


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Passed over on a machine without openssl, and a failure where ``CI`` is set."""
    if shutil.which("openssl") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no openssl on the path to make certificates")
    return Issuer(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture(scope="session")
def pair(issuer: Issuer) -> Pair:
    """Of a server on this machine."""
    return issuer.issue()


@pytest.fixture(scope="session")
def till(issuer: Issuer) -> Pair:
    """Of a client."""
    return issuer.issue("/O=Shop/CN=till 7", (), use="clientAuth")
