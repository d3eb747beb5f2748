"""Events reach receivers outside of the system: signed, again when they failed, and whoever is killed meanwhile."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import rig
from tests.e2e.deliveries import APP, HANGS, RUNGS, Receiver, environment, letters, publish, receiving
from tests.e2e.rig import eventually

DELIVERED_S = 180.0  # seconds for all of it, on a machine with other work
ROLES = ("courier", "worker", "gateway")
ATTEMPTS = 30  # of the subscriptions of APP
REFUSED, REFUSED_OF = 13, 500  # the event that is refused, of each so many


@pytest.mark.also_on_kafka
def test_events_are_delivered_signed_and_filtered(tmp_path: Path) -> None:
    with ExitStack() as stack:
        good, flaky, away = (stack.enter_context(receiving(Receiver())) for _ in range(3))
        env = environment(good=good, flaky=flaky, away=away)
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=env))
        publish(run.url, range(-20, 300))
        for receiver in (good, flaky, away):
            assert eventually(lambda r=receiver: len(r.got) >= 300, DELIVERED_S), len(receiver.got)  # type: ignore[misc]
            assert set(receiver.got) == set(range(300)) and not receiver.forged
            assert set(receiver.got.values()) == {1} and all(len(ids) == 1 for ids in receiver.ids.values())
        assert eventually(lambda: rig.count(run.url, "copies") == 32)
        assert not letters(run.url)
        assert run.stop() == 0


@pytest.mark.also_on_kafka
def test_what_a_receiver_refuses_is_dead_and_goes_to_it_alone_when_put_back(tmp_path: Path) -> None:
    refusing = True
    with ExitStack() as stack:
        flaky = stack.enter_context(receiving(Receiver(lambda _, n: 400 if refusing and n == 7 else 200)))
        good, away = (stack.enter_context(receiving(Receiver())) for _ in range(2))
        env = environment(good=good, flaky=flaky, away=away)
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=env))
        publish(run.url, range(20))
        assert eventually(lambda: len(letters(run.url)) == 1, DELIVERED_S)
        (letter,) = letters(run.url)
        assert (letter["stage"], letter["error"], letter["attempts"]) == ("flaky", "NotRetried", 1)
        assert "BadRequest" in letter["reason"] and letter["data"] == '{"n":7}'
        refusing = False
        httpx.post(f"{run.url}/dead/redrive", json={}, timeout=60).raise_for_status()
        assert eventually(lambda: flaky.got[7] == 1, DELIVERED_S)
        assert eventually(lambda: not letters(run.url), DELIVERED_S)
        assert eventually(lambda: len(good.got) == len(away.got) == 20, DELIVERED_S)
        assert good.got[7] == away.got[7] == 1 and len(flaky.ids[7]) == 1


def under_fire(
    tmp_path: Path, events: int, kills: int, away_s: float, patience_s: float | None = None, seed: int = 1
) -> None:
    """Who answers well, who fails a third of the time, refuses some and hangs at others, and who is away for a while,
    while processes are killed. ``patience_s``: for what is left then; who hangs is on probation most of the time."""
    rng = random.Random(seed)
    began = time.monotonic()

    def fail(_: int, n: int) -> int:
        if n % REFUSED_OF == REFUSED:
            return 400
        if len(flaky.attempts[n]) > 4:  # the sixth attempt is a minute and a half later, the eighth six
            return 200
        return rng.choices((200, 503, HANGS), (70, 29, 1))[0]

    with ExitStack() as stack:
        good = stack.enter_context(receiving(Receiver()))
        flaky = stack.enter_context(receiving(Receiver(fail)))
        away = stack.enter_context(
            receiving(Receiver(lambda request, n: 503 if 5 < time.monotonic() - began < 5 + away_s else 200))
        )
        env = environment(good=good, flaky=flaky, away=away) | rig.planted(
            tmp_path / "plant", RUNGS, "penstock.run.courier"
        )
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=2, env=env))
        for kill in range(kills):
            publish(run.url, range(events * kill // kills, events * (kill + 1) // kills))
            role = ROLES[kill % len(ROLES)]
            assert eventually(lambda role=role: run.kill(role, rng) is not None), f"no {role} to kill"  # type: ignore[misc]
        everything = set(range(events))
        refused = set(range(REFUSED, events, REFUSED_OF))
        for name, receiver in (("good", good), ("flaky", flaky), ("away", away)):

            def settled(receiver: Receiver = receiver, name: str = name) -> bool:
                return everything <= set(receiver.got) | dead(run.url, name)

            assert eventually(settled, patience_s or DELIVERED_S + kills), (
                f"{name}: lost {sorted(everything - set(receiver.got) - dead(run.url, name))[:20]}"
            )
            assert dead(run.url, name) == (refused if name == "flaky" else set())
            assert not receiver.forged
            assert all(len(ids) == 1 for ids in receiver.ids.values()), f"{name}: an event changed its id"
            for n, attempts in receiver.attempts.items():
                again = len(attempts) - max(attempts)  # the attempts that a kill let nobody count
                assert again <= kills and max(attempts) <= ATTEMPTS, f"{name}: event {n} in attempts {attempts}"
            repeated = sum(receiver.got.values()) - len(receiver.got)
            uncounted = sum(len(each) - max(each) for each in receiver.attempts.values())
            print(
                f"{name}: {events} events, {kills} kills in {time.monotonic() - began:.0f} s: {len(receiver.got)} "
                f"delivered, {len(dead(run.url, name))} dead, {receiver.requests} requests, {repeated} delivered more "
                f"than once, {uncounted} attempts that were made again",
                flush=True,
            )


def dead(url: str, subscription: str) -> set[int]:
    try:
        return {int(each["data"][5:-1]) for each in letters(url) if each["stage"] == subscription}
    except (httpx.TransportError, ValueError):
        return set()


SOON = """
import penstock.run.compose.deliveries as deliveries
import penstock.stages.deliver.subscriptions as subscriptions
subscriptions.FAILING_S = 0.2
plain = deliveries.Subscription
deliveries.Subscription = lambda *given, **named: plain(*given, **named | {"disable_after_s": 15.0})
"""


def check_disabled(tmp_path: Path, planted: str) -> None:
    """An endpoint that takes nothing, and a courier that is killed meanwhile."""
    away = True
    with ExitStack() as stack:
        flaky = stack.enter_context(receiving(Receiver(lambda *_: 500 if away else 200)))
        good, others = (stack.enter_context(receiving(Receiver())) for _ in range(2))
        env = environment(good=good, flaky=flaky, away=others)
        env |= rig.planted(tmp_path / "plant", planted, "penstock.run.courier")
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=env))
        publish(run.url, range(60))
        assert eventually(lambda: standing(run.url)["failing_since"] is not None)
        since = standing(run.url)["failing_since"]
        assert eventually(lambda: run.kill("courier", random.Random(1)) is not None)
        assert eventually(lambda: standing(run.url)["state"] == "disabled", DELIVERED_S)
        reason = standing(run.url)["reason"]
        assert since[:19] in reason and "HTTP 500" in reason, f"it forgot that it fails since {since}: {reason}"
        assert eventually(lambda: any("is disabled" in told["reason"] for told in warnings(run.url)), DELIVERED_S)
        publish(run.url, range(60, 90))
        assert eventually(lambda: set(good.got) == set(range(90)))
        away = False
        httpx.post(f"{run.url}/subscriptions/flaky/resume", timeout=60).raise_for_status()
        assert eventually(lambda: set(flaky.got) >= set(range(60, 90)), DELIVERED_S), "its backlog is gone"
        assert eventually(lambda: not any("is disabled" in told["reason"] for told in warnings(run.url)), DELIVERED_S)


def standing(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{url}/subscriptions/flaky", timeout=60).json()
    return found


def warnings(url: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = httpx.get(f"{url}/readyz", timeout=60).json()["warnings"]
    return found


@pytest.mark.also_on_kafka
def test_an_endpoint_that_takes_nothing_is_disabled_and_goes_on_from_its_place(tmp_path: Path) -> None:
    check_disabled(tmp_path, SOON)


FORGETS = """
from penstock.stages.deliver.subscriptions import Subscription
known = Subscription.learn
def learn(subscription, state):
    known(subscription, state)
    subscription.failing = 0
Subscription.learn = learn
"""


def test_mutant_courier_that_forgets_since_when_it_fails_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="it forgot that it fails since"):
        check_disabled(tmp_path, SOON + FORGETS)


@pytest.mark.also_on_kafka
def test_nothing_is_lost_when_processes_are_killed(tmp_path: Path) -> None:
    under_fire(tmp_path, 600, 6, away_s=20)


@pytest.mark.soak
def test_nothing_is_lost_under_hundreds_of_kills(tmp_path: Path) -> None:
    under_fire(tmp_path, 30_000, 300 if rig.brokers is None else 100, away_s=60, patience_s=1_800.0)


SENDS_NO_MORE = """
import os, pathlib
from penstock.destinations.webhook.courier import Courier
plain, once = Courier._take, pathlib.Path(os.environ["PLANTED"])
def take(self):
    if self._inbox and not once.exists():
        once.touch()
        raise RuntimeError("planted")
    plain(self)
Courier._take = take
"""


LOOKS_AT_STAGES_ALONE = """
import penstock.run.worker as worker
whole = worker.work
worker.work = lambda process, composition, lookout, beside, *more: whole(process, composition, lookout, (), *more)
"""


def sending_again(tmp_path: Path, planted: str, seconds: float) -> None:
    with ExitStack() as stack:
        good, flaky, away = (stack.enter_context(receiving(Receiver())) for _ in range(3))
        env = environment(good=good, flaky=flaky, away=away) | {"PLANTED": str(tmp_path / "once")}
        env |= rig.planted(tmp_path / "plant", planted, "penstock.run.courier")
        run = stack.enter_context(rig.running(APP, tmp_path / "data", workers=1, env=env))
        publish(run.url, range(10))
        assert eventually((tmp_path / "once").exists)
        found = (good, flaky, away)
        assert eventually(lambda: all(len(each.got) == 10 for each in found), seconds), "nobody sends any more"


def test_a_courier_that_sends_no_more_is_started_again(tmp_path: Path) -> None:
    sending_again(tmp_path, SENDS_NO_MORE, DELIVERED_S)


def test_mutant_that_looks_at_stages_alone_is_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="nobody sends any more"):
        sending_again(tmp_path, SENDS_NO_MORE + LOOKS_AT_STAGES_ALONE, 15.0)


LADDER_ONE_COMMIT_LATE = """
from penstock.log.{reader}
plain = Reader.commit
late = {}
def commit(self, done, outputs):
    waiting = [each for each in outputs if each.topic == "penstock.retry"]
    others = [each for each in outputs if each not in waiting]
    plain(self, done, others + late.pop(id(self), []) if waiting else others)
    late.update({id(self): waiting} if waiting else {})
Reader.commit = commit
"""


def test_mutant_that_commits_positions_before_the_ladder_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.e2e.test_deliveries.RUNGS", RUNGS + LADDER_ONE_COMMIT_LATE)
    monkeypatch.setattr("tests.e2e.test_deliveries.DELIVERED_S", 30.0)
    with pytest.raises(AssertionError, match="flaky: lost"):
        under_fire(tmp_path, 200, 2, away_s=20)
