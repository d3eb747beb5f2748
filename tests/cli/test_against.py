"""`check --against` a data directory says which subscriptions changed since it was last run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import httpx

from penstock.batch import TopicSpec
from penstock.cli.against import findings
from penstock.clock import SystemClock
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.gateway.server import serve
from penstock.plan.codec import plan_to_bytes
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.plan.references import ReferenceSpec
from penstock.run.compose.backends import open_log
from penstock.run.directory import DataDirectory
from penstock.run.supervisor.sockets import listen
from penstock.settings import Settings
from penstock.testing.door_contract import made

HOOK = SubscriptionSpec("hook", "t", "https://example.com/", place="app.py:9")
PLAN = Plan("app", "app.py:app", "", (TopicSpec("t"),), subscriptions=(HOOK,))


def deployed(folder: Path) -> DataDirectory:
    directory = DataDirectory(folder)
    directory.claim()
    log = open_log(directory, SystemClock(), Settings())
    log.create(TopicSpec("t"))
    log.close()
    directory.release()
    return directory


def test_subscriptions_are_compared_with_those_of_the_last_run(tmp_path: Path) -> None:
    directory = deployed(tmp_path)
    assert findings(PLAN, str(tmp_path)) == [], "it has not run yet"
    gone = Plan("app", "app.py:app", "", (TopicSpec("t"),), subscriptions=(SubscriptionSpec("gone", "u", topic="t"),))
    (directory.run / "plan-7-1").write_bytes(plan_to_bytes(gone))
    (directory.run / "plan-7-1.notices").write_text("{}")
    (told,) = findings(PLAN, str(tmp_path))
    assert told.message == "subscription 'gone' is deployed, on u, and the app has none of that name"


TOKEN = ReferenceSpec("secret", "TOKEN")
SECRETIVE = SubscriptionSpec(
    "hook",
    "t",
    "https://example.com/hush?key=hush",
    secrets=(ReferenceSpec("secret", "KEY"),),
    headers=(("x-plain", "hush"), ("authorization", TOKEN)),
    place="app.py:9",
)


@contextmanager
def served(folder: Path, *subscriptions: SubscriptionSpec) -> Iterator[str]:
    plan = replace(PLAN, subscriptions=subscriptions)
    folder.mkdir()
    services = replace(made(folder), plan=plan)
    services.log.create(TopicSpec("t"))
    listening, stop, ready = listen("127.0.0.1", 0), Event(), Event()
    thread = Thread(target=serve, args=(services, listening, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        stop.set()
        thread.join(20)


def told_of(plan: Plan, url: str) -> list[tuple[str, str]]:
    return [(found.message, found.mend) for found in findings(plan, url) if "subscription" in found.message]


def test_a_server_tells_what_is_new_gone_and_changed_and_nothing_secret(tmp_path: Path) -> None:
    old = SubscriptionSpec("old", "u", "https://u.example.com/hush")
    with served(tmp_path / "data", SECRETIVE, old) as url:
        assert "hush" not in httpx.get(f"{url}/subscriptions").text
        same = replace(SECRETIVE, url="https://example.com/other", place="app.py:20")
        assert told_of(replace(PLAN, subscriptions=(same, old)), url) == []
        other = replace(SECRETIVE, url="https://other.example.com", attempts=3, secrets=(), where="n > 1", rate=5.0)
        new = SubscriptionSpec("new", "t", "https://n.example.com")
        assert told_of(replace(PLAN, subscriptions=(other, new)), url) == [
            (
                "subscription 'hook' is deployed with another rate, retry, secret, to, where",
                "it goes on from where it is; what it has not delivered yet goes by what is declared now",
            ),
            (
                "subscription 'old' is deployed, on u, and the app has none of that name",
                "nothing more goes to u.example.com; declare it again if it should",
            ),
            ("subscription 'new' is new", "it starts at the latest of t"),
        ]
        renamed = replace(SECRETIVE, name="renamed")
        message, mend = told_of(replace(PLAN, subscriptions=(renamed, old)), url)[0]
        assert mend == "if renamed is it under a new name, write name='hook': else it starts at the latest"
        assert message == "subscription 'hook' is deployed, on t, and the app has none of that name"


def test_a_filter_and_headers_are_compared_as_they_are_shown(tmp_path: Path) -> None:
    late = Filter(included_event_types=["a"], advanced=[AdvancedFilter("NumberIn", "data.n", values=[1, 2])])
    filtered = replace(SECRETIVE, filter=late)
    with served(tmp_path / "data", filtered) as url:
        assert told_of(replace(PLAN, subscriptions=(filtered,)), url) == []
        changed = replace(filtered, filter=Filter(included_event_types=["b"]), headers=(("authorization", TOKEN),))
        ((message, _),) = told_of(replace(PLAN, subscriptions=(changed,)), url)
        assert message == "subscription 'hook' is deployed with another filter, headers"
