"""The key that a client shows is the program's, else the environment's, else a file's."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from penstock.client.credentials import KEY, KEY_FILE, found_key
from penstock.client.sending import Sender
from penstock.errors import Unauthorized


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (KEY, KEY_FILE):
        monkeypatch.delenv(name, raising=False)
    assert found_key() == ""
    (tmp_path / "key").write_text("psk_file\n")
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "key"))
    assert found_key() == "psk_file"
    monkeypatch.setenv(KEY, " psk_environment ")
    assert found_key() == "psk_environment"


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY, raising=False)
    monkeypatch.setenv(KEY_FILE, str(tmp_path / "none"))
    with pytest.raises(Unauthorized, match=r"PENSTOCK_KEY_FILE names .*none, which cannot be read: No such file"):
        found_key()


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({}, {"authorization": "Bearer psk_k"}),
        ({"authorization": "Bearer secret"}, {"authorization": "Bearer secret", "x-api-key": "psk_k"}),
    ],
)
def test_how_it_is_shown(given: dict[str, str], shown: dict[str, str]) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={})

    sender = Sender("http://127.0.0.1:1", timeout=1, patience=1, key="psk_k")
    sender._http = httpx.Client(base_url=sender.url, transport=httpx.MockTransport(answer))
    sender.once("GET", "/topics", b"", given, {})
    sender.close()
    (request,) = seen
    assert {name: request.headers[name] for name in ("authorization", "x-api-key") if name in request.headers} == shown
