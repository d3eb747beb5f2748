from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
from tests.destinations.webhook.receivers import SECRET

from penstock.destinations.redaction import redact
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.errors import DeclarationError

URL = "https://hooks.example.com/services/T0000/B0000/XXXXXXXXXXXX?sig=abcdefghij"


def test_what_is_written_is_taken() -> None:
    endpoint = Endpoint(URL, [SECRET], [("X-Key", "k" * 4_096)] + [(f"x-{n}", "") for n in range(9)], rate="120/m")
    assert (endpoint.place, endpoint.per_second) == ("https://hooks.example.com", 2.0)
    assert Endpoint("http://[2606:4700::1]:8080/", allow_http=True).place == "http://[2606:4700::1]:8080"
    assert Endpoint("http://localhost:8080", allow_http=True, allow_private=True).per_second == 0
    assert Endpoint(URL, rate="5000/s").per_second == 5_000


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "http://example.com/"}, "is not https://; allow_http=True allows it"),
        ({"secrets": [SECRET] * 3}, "3 secrets"),
        ({"secrets": ["whsec_short"]}, "24 to 64 random bytes"),
        ({"headers": [(f"x-{n}", "") for n in range(11)]}, "11 headers"),
        ({"headers": [("x-a", "v" * 4_097)]}, "has 4097 bytes; at most 4096"),
        ({"headers": [("x-a", "b\r\nx-b: c")]}, "line breaks"),
        ({"headers": [("x-a", "b\nc")]}, "line breaks"),
        ({"headers": [("x-a", "b\0")]}, "line breaks"),
        ({"headers": [("x-a", "é")]}, "line breaks or non-ASCII"),
        ({"headers": [("x a", "b")]}, "cannot be the name"),
        ({"headers": [("x-a\r\n", "b")]}, "cannot be the name"),
        ({"headers": [("", "b")]}, "cannot be the name"),
        ({"headers": [("x-a:", "b")]}, "cannot be the name"),
        ({"headers": [("X-A", "b"), ("x-a", "c")]}, "named twice"),
        *(({"headers": [(name, "b")]}, "written by Penstock itself") for name in (
            "Host", "content-length", "Content-Type", "transfer-encoding", "webhook-id", "Webhook-Signature",
            "idempotency-key", "penstock-attempt", "ce-id", "aeg-event-type", "expect", "Connection", "proxy-x",
        )),
        ({"rate": "fast"}, "is no rate"),
        ({"rate": "0/s"}, "is no rate"),
        ({"rate": "10/h"}, "is no rate"),
        ({"concurrency": 0}, "is not 1 to 64"),
        ({"concurrency": 65}, "is not 1 to 64"),
        ({"authorities": "/no/such.pem"}, "is no file"),
    ],
)  # fmt: skip
def test_what_could_not_work_is_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(DeclarationError, match=why):
        Endpoint(**{"url": URL, **given})


def test_nothing_secret_is_in_its_repr_or_in_an_error() -> None:
    header = ("authorization", "Bearer s3cr3t-t0k3n")
    said = repr(Endpoint(URL, [SECRET], [header]))
    wrong: list[dict[str, Any]] = [
        {"secrets": [SECRET + "!"]},
        {"url": URL + "é"},
        {"headers": [(header[0], header[1] + "\n")]},
        {"url": "https://user:s3cr3t-t0k3n@example.com/"},
        {"url": "https://example.com:s3cr3t-t0k3n/"},
    ]
    for given in wrong:
        try:
            Endpoint(**{"url": URL, "headers": [header], **given})
        except DeclarationError:
            said += traceback.format_exc()
        else:
            pytest.fail("it was taken")
    assert "hooks.example.com" in said
    for secret in (SECRET[6:], "s3cr3t-t0k3n", "T0000/B0000", "XXXXXXXXXXXX", "abcdefghij"):
        assert secret not in "\n".join(line for line in said.splitlines() if not line.startswith("    "))


def test_what_an_endpoint_echoes_is_hidden() -> None:
    endpoint = Endpoint(URL, [SECRET], [("authorization", "Bearer s3cr3t/t0k3n")])
    path = "services/T0000/B0000/XXXXXXXXXXXX"
    echoed = f"bad Bearer s3cr3t/t0k3n, s3cr3t%2Ft0k3n, {SECRET}, {SECRET[6:]}, {path}, sig=abcdefghij"
    assert redact(echoed, endpoint.hidden()) == "bad …, …, …, …, …, …"


def test_authorities_are_a_file(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("")
    assert Endpoint(URL, authorities=str(file)).authorities == str(file)
