"""`penstock dev` calls nobody's webhook: the real courier sends to the run itself, where one sees and answers it."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import rig
from tests.e2e.deliveries import Receiver, letters, publish, receiving
from tests.e2e.rig import eventually

APP = Path(__file__).with_name("catching_app.py")


def caught(url: str, name: str) -> list[dict[str, Any]]:
    found = httpx.get(f"{url}/caught/requests", timeout=60).json()["requests"]
    return [each for each in found if each["subscription"] == name]


def choose(url: str, name: str, answer: str) -> None:
    httpx.put(f"{url}/caught/{name}/answer", json={"answer": answer}, timeout=60).raise_for_status()


def standing(url: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/subscriptions/{name}", timeout=60).json()
    return found


def check_nobody_is_called(folder: Path) -> None:
    with ExitStack() as stack:
        outside = stack.enter_context(receiving(Receiver()))
        env = {"OUTSIDE_URL": outside.url}
        run = stack.enter_context(rig.running(APP, folder / "data", workers=1, env=env, command="dev"))
        publish(run.url, range(6))
        assert eventually(lambda: bool(outside.requests) or all(caught(run.url, name) for name in ("signed", "plain")))
        assert not outside.requests, "somebody outside was called"
        assert eventually(lambda: len(caught(run.url, "signed")) == 3)
        for request in caught(run.url, "signed"):
            headers = dict(request["headers"])
            assert request["signature"] == "verified" and json.loads(request["body"])["n"] in (0, 2, 4)
            assert headers["authorization"] == "ps.secret('NOWHERE_TOKEN')" and headers["ce-type"] == "numbers"
            assert (request["attempt"], request["answered"], request["id"]) == ("1", "200", headers["idempotency-key"])
        assert {event["data"]["n"] for each in caught(run.url, "plain") for event in json.loads(each["body"])} == set(
            range(6)
        )
        assert run.stop() == 0


@pytest.mark.also_on_kafka
def test_webhooks_are_caught_without_any_address_or_secret(tmp_path: Path) -> None:
    check_nobody_is_called(tmp_path)


SENDS_THEM = """
import dataclasses
import penstock.run.compose.deliveries as deliveries
def real(spec, environ, catcher, trusted):
    open = dataclasses.replace(spec, secrets=(), headers=(), allow_http=True, allow_private=True)
    return deliveries.endpoint_of(open, {"NOWHERE_URL": environ["OUTSIDE_URL"], **environ}, "")
deliveries.caught_endpoint = real
"""


def test_mutant_that_sends_them_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in rig.planted(tmp_path / "plant", SENDS_THEM, "penstock.run.courier").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(AssertionError, match="somebody outside was called"):
        check_nobody_is_called(tmp_path)


def test_one_sees_retries_dead_letters_and_a_subscription_that_ends(tmp_path: Path) -> None:
    env = rig.planted(
        tmp_path / "plant",
        "import penstock.stages.deliver.attempts as a\na.RUNGS_S = tuple(s / 20 for s in a.RUNGS_S)",
        "penstock.run.courier",
    )
    with rig.running(APP, tmp_path / "data", workers=1, env=env, command="dev") as run:
        choose(run.url, "signed", "500")
        publish(run.url, range(1))
        assert eventually(lambda: len(caught(run.url, "signed")) >= 2)
        assert [each["attempt"] for each in caught(run.url, "signed")][-2:] == ["2", "1"]
        choose(run.url, "signed", "400")
        assert eventually(lambda: [each["stage"] for each in letters(run.url)] == ["signed"])
        choose(run.url, "signed", "410")
        publish(run.url, range(2, 3))
        assert eventually(lambda: standing(run.url, "signed")["state"] == "disabled")
        choose(run.url, "signed", "200")
        httpx.post(f"{run.url}/subscriptions/signed/resume", timeout=60).raise_for_status()
        assert eventually(lambda: caught(run.url, "signed")[0]["answered"] == "200")


def test_one_that_asks_for_it_sends_them(tmp_path: Path) -> None:
    with ExitStack() as stack:
        outside = stack.enter_context(receiving(Receiver()))
        app = tmp_path / "app.py"
        app.write_text(APP.read_text().replace('format="cloudevents-batch", batch=(10, 64)', "allow_private=True"))
        app.write_text(app.read_text().replace("allow_private=True", "allow_private=True, allow_http=True"))
        env = dict.fromkeys(("OUTSIDE_URL", "NOWHERE_URL"), outside.url) | {"NOWHERE_TOKEN": "hush"}
        env |= {"NOWHERE_KEY": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "NOWHERE_URL": "https://nowhere.invalid"}
        run = stack.enter_context(
            rig.running(app, tmp_path / "data", workers=1, env=env, command="dev", options=("--deliver",))
        )
        publish(run.url, range(3))
        assert eventually(lambda: len(outside.got) == 3)
        assert httpx.get(f"{run.url}/caught", timeout=60).status_code == 404
