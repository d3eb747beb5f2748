"""Signatures that the reference library verifies (S5)."""

from __future__ import annotations

import base64
import itertools
import json
import os
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from tests.destinations.webhook.conftest import lane_to
from tests.destinations.webhook.receivers import OK, SECRET, Request, answering, deliver, parcel, receiving, status

from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.signatures import Signer, check_secret, webhook_id
from penstock.errors import CannotStart, DeclarationError

OTHER = "whsec_" + base64.b64encode(bytes(range(32))).decode()
BODIES = [b'{"a":1}', b'{ "a" : 1.0, "b":"\\u20ac" }', '{"a":"€ 😀"}'.encode(), b"[]", b"", b'{"n": 1e400, "n": 2}\n']


def test_the_published_vector() -> None:
    signed = Signer([SECRET]).sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def delivered(courier: Courier, bodies: list[bytes], secrets: list[str]) -> list[Request]:
    with receiving(answering(OK)) as receiver:
        lane = lane_to(courier, receiver, secrets=secrets)
        parcels = [parcel(f"orders/{n}.é", body) for n, body in enumerate(bodies)]
        for part in range(0, len(parcels), lane.room()):
            assert all(answer.ok for answer in deliver(lane, parcels[part : part + lane.room()]))
        return receiver.requests


def verifies(request: Request, secret: str = SECRET) -> bool:
    try:
        Webhook(secret).verify(request.body, request.headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def test_every_delivery_is_verified(courier: Courier) -> None:
    bodies = BODIES + [json.dumps({"n": n, "text": "é" * (n % 50)}).encode() for n in range(10_000)]
    requests = delivered(courier, bodies, [SECRET])
    assert sorted(request.body for request in requests) == sorted(bodies)
    assert all(verifies(request) for request in requests)
    assert not any(verifies(request, OTHER) for request in requests)


def test_mutant_that_signs_what_it_would_have_written_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = Signer.sign

    def signs_json(self: Signer, id: str, seconds: int, body: bytes) -> str:
        return sign(self, id, seconds, json.dumps(json.loads(body)).encode())

    monkeypatch.setattr(Signer, "sign", signs_json)
    requests = delivered(courier, [b'{"a":1}'], [SECRET])
    with pytest.raises(AssertionError, match="assert False"):
        assert all(verifies(request) for request in requests)


def both_verify(courier: Courier) -> None:
    [request] = delivered(courier, [b"{}"], [OTHER, SECRET])
    assert verifies(request, OTHER) and verifies(request, SECRET), "one of the two does not verify"
    assert len(request.headers["webhook-signature"].split(" ")) == 2


def test_during_a_rotation_both_secrets_verify(courier: Courier) -> None:
    both_verify(courier)


def test_mutant_that_signs_with_the_new_secret_alone_is_caught(
    courier: Courier, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = Signer.sign
    monkeypatch.setattr(Signer, "sign", lambda *given: sign(*given).split(" ")[0])
    with pytest.raises(AssertionError, match="one of the two does not verify"):
        both_verify(courier)


def test_a_second_attempt_has_the_same_id_and_its_own_time(courier: Courier) -> None:
    with receiving(answering(status(500), OK)) as receiver:
        lane = lane_to(courier, receiver, secrets=[SECRET])
        deliver(lane, [parcel("a.b")])
        deliver(lane, [parcel("a.b", attempt=2)])
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == second.headers["idempotency-key"] == "a%2Eb"
    assert [first.headers["penstock-attempt"], second.headers["penstock-attempt"]] == ["1", "2"]
    assert verifies(first) and verifies(second)


def test_the_time_is_of_the_attempt() -> None:
    signer, at = Signer([SECRET]), int(datetime(2026, 2, 3, tzinfo=UTC).timestamp())
    assert signer.sign("a", at, b"{}") != signer.sign("a", at + 1, b"{}")


def test_a_body_that_no_receiver_could_verify_is_not_sent(courier: Courier) -> None:
    with receiving(answering(OK)) as receiver:
        [answer] = deliver(lane_to(courier, receiver, secrets=[SECRET]), [parcel(body=b"\xff\xfe")])
        assert (answer.ok, answer.final, "UTF-8" in answer.reason) == (False, True, True)
        assert deliver(lane_to(courier, receiver), [parcel(body=b"\xff\xfe")])[0].ok
        assert [request.body for request in receiver.requests] == [b"\xff\xfe"]


@given(st.text(min_size=1))
@example("a%2Eb")
def test_an_id_is_one_word_without_a_dot(text: str) -> None:
    safe = webhook_id(text) if not any(0xD800 <= ord(c) <= 0xDFFF for c in text) else "skipped"
    assert safe.isascii() and safe.isprintable()
    assert not set(safe) & set(". \t,;")


def test_different_ids_stay_different() -> None:
    texts = ["".join(word) for n in range(4) for word in itertools.product("a.%2E/ é", repeat=n)]
    assert len({webhook_id(text) for text in texts}) == len(set(texts))


def test_mutant_that_writes_dots_as_another_character_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "webhook_id", lambda text: text.replace(".", "/"))
    with pytest.raises(AssertionError, match="assert"):
        test_different_ids_stay_different()


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "secret", "whsec_!!!!", SECRET.removeprefix("whsec_"), "whsk_" + SECRET[6:], "whsec_\u20ac",
     "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_" + base64.b64encode(bytes(65)).decode()],
)  # fmt: skip
def test_what_is_no_secret_is_refused_and_not_told(secret: str) -> None:
    with pytest.raises(DeclarationError, match="24 to 64 random bytes") as refused:
        check_secret(secret)
    assert len(secret) < 7 or secret not in str(refused.value)


def test_a_secret_of_any_length_allowed_is_taken() -> None:
    for length in (24, 32, 64):
        check_secret("whsec_" + base64.b64encode(os.urandom(length)).decode())


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "standardwebhooks", None)
    with pytest.raises(CannotStart, match=r"penstock-ml\[webhooks\]"):
        Signer([SECRET])
