"""Signatures of Event Grid's clients are read as they come, in each form that they have."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote

import pytest
from azure.eventgrid import generate_sas
from hypothesis import given
from hypothesis import strategies as st

from penstock.access import sas
from penstock.access.sas import SharedAccessSignature, secret_from_env, signing_key
from penstock.errors import DeclarationError

SECRET_BYTES = b"x" * 32
KEY = signing_key(SECRET_BYTES, "k1")
URL = "https://penstock.example/eventgrid/orders/api/events"
END = datetime(2030, 6, 15, 18, 20, 15, tzinfo=UTC)


def test_the_official_clients_signature() -> None:
    found = SharedAccessSignature.parse(generate_sas(URL, KEY, END))
    assert found.is_made_with(KEY) and not found.is_made_with(signing_key(SECRET_BYTES, "k2"))
    assert not found.is_made_with(signing_key(b"y" * 32, "k1"))
    assert (found.path, found.expires) == ("/eventgrid/orders/api/events", int(END.timestamp() * 1e6))


def quoted_in_lower_case(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(text, safe=""))


def quoted_for_forms(text: str) -> str:
    return quote(text).replace("%20", "+")


@pytest.mark.parametrize(
    "written",
    [
        "2030-06-15 18:20:15+00:00",
        "2030-06-15 20:20:15+02:00",
        "2030-06-15T18:20:15Z",
        "2030-06-15T18:20:15",
        "6/15/2030 6:20:15 PM",
        "06/15/2030 18:20:15",
    ],
)
@pytest.mark.parametrize("quoted", [quote, quoted_in_lower_case, quoted_for_forms])
def test_an_expiry_in_each_form(written: str, quoted: Callable[[str], str]) -> None:
    text = f"r={quote(URL, safe='')}&e={quoted(written)}&s={quote(base64.b64encode(b's').decode())}"
    assert SharedAccessSignature.parse(text).expires == int(END.timestamp() * 1e6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "r=a",
        "r=a&s=b",
        "e=2030-01-01&r=a&s=YQ==",
        "r=a&e=never&s=YQ==",
        "r=a&e=2030-01-01&s=not base64",
        "r=a&e=2030-01-01&s=YQ==&se=1",
        "r=http://[&e=2030-01-01&s=YQ==",
        "r=" + "x" * 5_000 + "&e=2030-01-01&s=YQ==",
        "r=\N{SNOWMAN}&e=2030-01-01&s=YQ==",
        "r=a&e=0001-01-01T00:00:00+23:59&s=YQ==",
    ],
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError):
        SharedAccessSignature.parse(text)


@given(st.text(max_size=300) | st.builds("r={}&e={}&s={}".format, st.text(), st.text(), st.text()))
def test_whatever_comes_is_a_signature_or_none(text: str) -> None:
    try:
        assert not SharedAccessSignature.parse(text).is_made_with(KEY)
    except ValueError:
        pass


@given(st.datetimes(datetime(1970, 1, 2), datetime(9_000, 1, 1)), st.integers(-12, 12))
def test_any_time_of_the_client(moment: datetime, hours: int) -> None:
    end = moment.replace(tzinfo=timezone(timedelta(hours=hours)))
    found = SharedAccessSignature.parse(generate_sas(URL, KEY, end))
    assert found.is_made_with(KEY) and abs(found.expires - end.timestamp() * 1e6) < 1_000


def test_the_secret_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sas.SECRET, raising=False)
    assert secret_from_env() == b""
    monkeypatch.setenv(sas.SECRET, "short")
    with pytest.raises(DeclarationError, match="PENSTOCK_SAS_SECRET has fewer than 32 characters"):
        secret_from_env()
    monkeypatch.setenv(sas.SECRET, "x" * 32)
    assert secret_from_env() == SECRET_BYTES
