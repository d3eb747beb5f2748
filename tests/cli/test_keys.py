"""`keys` and `audit` against doors that want keys; and where the log is, with nothing running."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.run.server import Server, write_app
from typer.testing import CliRunner, Result

from penstock.access import audit, keys
from penstock.cli.main import app

cli = CliRunner()


def said(*words: str, code: int = 0, key: str = "") -> Result:
    found = cli.invoke(app, list(words), env={"PENSTOCK_KEY": key or None, "PENSTOCK_KEY_FILE": None})
    assert found.exit_code == code, found.output
    return found


def test_from_the_first_key_to_the_audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_app(tmp_path)
    data = tmp_path / "data"
    first = said("keys", "create", "ann", "--allow", "admin", "--data", str(data))
    admin = first.stdout.strip()
    assert keys.is_whole(admin) and "of ann may *:*; it is shown this once:" in first.stderr
    with Server(tmp_path / "app.py", data, "--port", "0", "--workers", "1", "--access", "keys") as server:
        url = ("--url", server.ready().url)
        assert "penstock keys create" in said("topics", *url, code=1).stderr
        made = said("keys", "create", "acme", "--allow", "append:readings", "--days", "2", "--json", *url, key=admin)
        acme = json.loads(made.stdout)
        assert acme["expires"] and acme["by"].startswith("ann (")
        listed = said("keys", "list", *url, key=admin).stdout
        assert "ann" in listed and "acme" in listed and "live" in listed and acme["key"] not in listed
        assert "'acme' may not manage" not in listed
        assert "acme may not manage 'keys'" in said("keys", "list", *url, code=1, key=acme["key"]).stderr
        assert (
            "'write' is no verb"
            in said("keys", "create", "x", "--allow", "write:readings", *url, code=1, key=admin).stderr
        )
        gone = said("keys", "revoke", acme["id"], *url, key=admin).stdout
        assert gone == f"key {acme['id']} of acme is revoked\n"
        assert "there is no key" in said("keys", "revoke", "nobody", *url, code=1, key=admin).stderr
        told = said("audit", "--json", "--limit", "100", *url, key=admin)
        rows = [json.loads(line) for line in told.stdout.splitlines()]
        assert [row["what"] + " " + row["on"] for row in rows if row["status"] < 300] == [
            "POST /keys",
            f"DELETE /keys/{acme['id']}",
        ]
        monkeypatch.setattr(audit, "faults", lambda rows: ["gateway: row 1 is missing"])
        assert "the audit was changed: gateway: row 1 is missing" in said("audit", *url, code=1, key=admin).stderr


def test_beside_a_run_or_without_one_keys_are_made_in_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(2):
        made = said("keys", "create", "ann", "--allow", "reader", "--data", str(data), "--json")
        assert json.loads(made.stdout)["allow"] == "read:*", number
    assert "'ann' has 2 keys" in said("keys", "create", "ann", "--allow", "reader", "--data", str(data), code=1).stderr


def test_a_key_that_opens_nothing_yet_is_generated() -> None:
    first, second = (said("keys", "generate").stdout for _ in range(2))
    assert keys.is_whole(first.strip()) and first != second
