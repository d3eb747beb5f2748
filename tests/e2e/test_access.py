"""A run that wants keys: the first is made where the log is, and what is revoked elsewhere opens nothing here."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from penstock.access import keys
from penstock.access.admin import ADMIN_KEY
from penstock.access.audit import AUDIT, faults, read
from penstock.access.issuing import issue, revoke
from penstock.client.connection import Client, connect
from penstock.errors import Forbidden, Unauthorized
from penstock.run.keys import opened
from tests.e2e.rig import eventually, log_url, running

APP = """
import penstock as ps

app = ps.App("shop")
orders = app.topic("orders", partitions=1)
copies = app.topic("copies", partitions=1)

@app.on(orders, to=copies)
def copy(order: dict) -> dict:
    return order
"""
ACCESS = ("--access", "keys")


def is_refused(client: Client) -> bool:
    try:
        client.publish("orders", {"n": 2})
    except Unauthorized:
        return True
    return False


def made(data: Path, name: str, allow: str) -> tuple[str, str]:
    """Beside whatever runs there: the key and its id."""
    with opened(data, log_url(data) or "") as keeper:
        issued = issue(keeper.log, keeper.view, keeper.clock, name, allow, days=None, by="test")
    return issued.key, issued.made.id


@pytest.mark.also_on_kafka
def test_keys_from_the_first_to_the_last(tmp_path: Path) -> None:
    app, data = tmp_path / "app.py", tmp_path / "data"
    app.write_text(APP)
    admin, _ = made(data, "admin", "admin")
    with running(app, data, workers=1, options=ACCESS) as rig:
        with closing(connect(rig.url, key="")) as nobody, pytest.raises(Unauthorized, match="penstock keys create"):
            nobody.topics()
        with closing(connect(rig.url, key=admin)) as client:
            acme = client.create_key("acme", "append:orders", days=1)
        with closing(connect(rig.url, key=acme["key"])) as client:
            client.publish("orders", {"n": 1})
            with pytest.raises(Forbidden, match="acme may not read 'copies'"):
                client.read("copies")
        assert rig.stop() == 0
    with running(app, data, workers=1, options=ACCESS) as rig:
        with closing(connect(rig.url, key=acme["key"])) as client:
            client.publish("orders", {"n": 1})
            with opened(data, log_url(data) or "") as keeper:  # as on another host
                revoke(keeper.log, keeper.view, keeper.clock, acme["id"], by="test")
            assert eventually(lambda: is_refused(client)), "what was revoked elsewhere opens a door here"
        with closing(connect(rig.url, key=admin)) as client:
            assert eventually(lambda: client.read("copies").height >= 2)
            there = client.keys()
            assert [key["state"] for key in there] == ["live", "revoked"]

            def told() -> list[str]:
                rows = read(client.read(AUDIT)["json"].to_list())
                assert faults(rows) == []
                return [f"{row.who} {row.status} {row.why}".strip() for row in rows]

            assert eventually(lambda: told()[-1].endswith(f"401 key {acme['id']} of acme is revoked"))
            assert told()[:3] == [
                "401 nothing was shown",
                "admin 201",
                "acme 403 acme may not read 'copies': whoever manages the keys can give the right to it",
            ]


def test_the_first_key_of_a_deployment_is_let_in(tmp_path: Path) -> None:
    app, data, admin = tmp_path / "app.py", tmp_path / "data", keys.make()
    app.write_text(APP)
    for _ in range(2):  # a start lets in no second one
        with running(app, data, workers=1, options=ACCESS, env={ADMIN_KEY: admin}) as rig:
            with closing(connect(rig.url, key=admin)) as client:
                there = client.keys()
                assert [key["name"] for key in there] == ["admin"]
            assert rig.stop() == 0
    kept = b"".join(file.read_bytes() for file in data.glob("log.db*"))
    assert kept and admin.encode() not in kept, "the log tells the key"
