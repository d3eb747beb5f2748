"""A run that speaks TLS at its doors: to its users, to its own courier, and to nobody who asks whether it lives."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest

import penstock as ps
from penstock.errors import PenstockError
from tests.certificates import Issuer, Pair, issuer, pair
from tests.e2e import rig
from tests.e2e.rig import eventually
from tests.e2e.roles import Half, begun

__all__ = ["issuer", "pair"]

APP = """
from dataclasses import dataclass
import penstock as ps

app = ps.App("sealed")

@dataclass
class Row:
    n: int

rows = app.topic("rows", Row, partitions=1)
"""


def names(run: Half, issuer: Issuer) -> list[str]:
    """What the certificate that new connections see is good for."""
    with httpx.Client(verify=issuer.client()) as http, http.stream("GET", f"{run.url}/healthz") as answer:
        shown = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()
    return [name for _, name in shown["subjectAltName"]]


def test_doors_in_tls_and_probes_in_plain(tmp_path: Path, issuer: Issuer, pair: Pair) -> None:
    (tmp_path / "app.py").write_text(APP)
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    pair.put(certificate, key)
    command = [sys.executable, "-m", "penstock", "run", str(tmp_path / "app.py"), "--data", str(tmp_path / "data")]
    command += ["--port", "0", "--workers", "1", "--probes", "127.0.0.1:0"]
    command += ["--tls-certificate", str(certificate), "--tls-key", str(key)]
    with begun(command, tmp_path / "data") as run:
        assert run.url.startswith("https://127.0.0.1:")
        assert run.probes.startswith("http://") and httpx.get(f"{run.probes}/readyz").json()["warnings"] == []
        with ps.connect(run.url, ca_file=issuer.certificate) as client:
            client.publish("rows", {"n": 1})

            issuer.issue(names=["DNS:nobody"]).key.replace(key)
            assert eventually(lambda: "is not used" in httpx.get(f"{run.probes}/readyz").text), "nobody is told"
            assert names(run, issuer) == ["127.0.0.1", "localhost"], "what does not fit is shown"
            issuer.issue(names=["IP:127.0.0.1"]).put(certificate, key)
            assert eventually(lambda: names(run, issuer) == ["127.0.0.1"]), "the new one is not shown"
            assert eventually(lambda: httpx.get(f"{run.probes}/readyz").json()["warnings"] == [])
            client.publish("rows", {"n": 2})

        gateway = next(each for each in run.family() if "penstock.run.gateway" in each.cmdline())
        gateway.kill()
        with ps.connect(run.url, ca_file=issuer.certificate) as client:

            def published() -> bool:
                try:
                    return bool(client.publish("rows", {"n": 3}))
                except PenstockError:  # it was being started again
                    return False

            assert eventually(published), "it came back without TLS, or not at all"
            assert client.read("rows")["n"].to_list()[:2] == [1, 2]
        assert run.stop() == 0


def test_webhooks_are_caught_over_tls(tmp_path: Path, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    own = issuer.issue(names=["DNS:localhost"])
    env = {"PENSTOCK_TLS_CERTIFICATE": str(own.certificate), "PENSTOCK_TLS_KEY": str(own.key)}
    app = Path(__file__).with_name("catching_app.py")
    with rig.running(app, tmp_path / "data", workers=1, env=env, command="dev") as run:
        assert run.url.startswith("https://localhost:")
        monkeypatch.setenv("PENSTOCK_CA_FILE", str(issuer.certificate))
        with ps.connect(run.url) as client, httpx.Client(base_url=run.url, verify=issuer.client()) as http:
            client.publish("numbers", [{"n": n} for n in range(6)])
            assert eventually(lambda: len(http.get("/caught/requests").json()["requests"]) >= 4)
        assert run.stop() == 0
