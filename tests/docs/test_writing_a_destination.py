"""The page's recipe as a fourth kind of destination: from the user's line to the courier. And what its suite finds."""

from __future__ import annotations

import importlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.docs.pages import blocks

import penstock as ps
from penstock.clock import ManualClock, SystemClock
from penstock.declare.checking.drawing import FORMS
from penstock.declare.checking.graph import as_text, graph_of, subscription_note
from penstock.declare.planning.build import resolve
from penstock.destinations import lane as lane_module
from penstock.destinations.lane import Lane
from penstock.errors import DeclarationError
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.edges import edges
from penstock.plan.plan import Plan
from penstock.run.compose import destinations
from penstock.run.trial_delivery import deliver_trial
from penstock.testing import destination_contract as contract
from penstock.testing.destination_contract import DestinationContract, SettledParcels

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-destination.md"


@dataclass
class Score:
    n: int


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The page's files, imported in its order; afterwards the table is as it was."""
    files = [block for block in blocks(PAGE.read_text()) if block.name]
    for block in files:
        (tmp_path / block.name).write_text("\n".join(block.lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(destinations, "KINDS", dict(destinations.KINDS))
    names = [Path(block.name).stem for block in files]
    try:
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    finally:
        for name in names:
            sys.modules.pop(name, None)


def planned(recipe: SimpleNamespace, folder: Path) -> Plan:
    app = ps.App("spooling")
    app.subscribe(app.topic("scores", Score), recipe.spool.Spool(str(folder)), where="n > 1")
    resolved = resolve(app)
    assert [finding for finding in resolved.findings if finding.severity == "error"] == []
    return resolved.plan


def test_its_plan_travels_and_is_drawn(recipe: SimpleNamespace, tmp_path: Path) -> None:
    plan = planned(recipe, tmp_path / "out")
    assert plan_from_bytes(plan_to_bytes(plan)) == plan
    (spec,) = plan.subscriptions
    assert (spec.name, spec.kind, spec.receiver, spec.is_delivered) == ("scores-to-out", "spool", "spool out", True)
    assert [edge for edge in edges(plan) if edge.verb == "deliver"] == []  # it connects to no host
    for form in FORMS.values():
        assert "spool out" in form(graph_of(plan))
    assert subscription_note(spec) == "to spool out · where n > 1" and "──▶ spool out" in as_text(plan)


def test_a_made_up_event_reaches_it(recipe: SimpleNamespace, tmp_path: Path) -> None:
    plan, out = planned(recipe, tmp_path / "out"), tmp_path / "out"
    out.mkdir()
    found = deliver_trial(plan, "scores-to-out", {}, SystemClock())
    assert found.answer.ok and (found.verb, found.endpoint) == ("Sent to", "spool out")
    (file,) = out.iterdir()
    assert file.read_text() == found.body and '"specversion":"1.0"' in found.body


def test_a_row_that_is_missing_is_told(recipe: SimpleNamespace, tmp_path: Path) -> None:
    plan = planned(recipe, tmp_path / "out")
    del destinations.KINDS["spool"]
    with pytest.raises(DeclarationError, match="no kind of destination 'spool' here, but kafka"):
        deliver_trial(plan, "scores-to-out", {}, SystemClock())


# -- what the suite finds -----------------------------------------------------


def settled_twice(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    once = lane.settle

    def twice(self: Lane, *given: Any) -> None:
        once(self, *given)
        once(self, *given)

    patch.setattr(lane, "settle", twice)


def waits(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    plain = lane.send

    def late(self: Lane, *given: Any) -> None:
        time.sleep(0.05)
        plain(self, *given)

    patch.setattr(lane, "send", late)
    patch.setattr(contract, "CALL_S", 0.05)


def asked_on(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lane_module, "FAILURES", 1_000)
    patch.setattr(contract, "PATIENCE_S", 0.5)


def talks_on(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lane, "close", lambda _: None)
    patch.setattr(lane, "room", lambda self: 0 if self._taken else 32)


def room_that_grows(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lane, "room", lambda self: 32 + self._taken)


def tells_who_sends(lane: type[Lane], patch: pytest.MonkeyPatch) -> None:
    def submit(self: Any, parcels: Any, settled: Any) -> None:
        self.take(parcels, settled)
        while self.may_send():
            parcel, told = self.queue.popleft()
            self.begin()
            self.land(parcel, told, self._attempted(parcel))

    patch.setattr(lane, "submit", submit)


SUITE = DestinationContract
FOUND: list[tuple[Callable[[type[Lane], pytest.MonkeyPatch], None], Callable[..., None], str]] = [
    (settled_twice, SUITE.test_each_parcel_is_delivered_and_settled_once, "were settled, or twice"),
    (waits, SUITE.test_one_that_is_away_keeps_nobody_waiting, "it waited for the endpoint"),
    (asked_on, SUITE.test_after_failures_it_is_left_alone_and_then_one_tries, "it is asked on and on"),
    (talks_on, SUITE.test_closed_it_settles_nothing_more, "it told of a parcel after it was closed"),
    (room_that_grows, SUITE.test_room_is_what_is_left_of_it, "it has room for as many as before"),
    (tells_who_sends, SUITE.test_it_tells_from_one_thread_of_its_own, "was told in its own thread"),
]


@pytest.mark.parametrize(("plant", "test", "found"), FOUND, ids=[plant.__name__ for plant, _, _ in FOUND])
def test_mutant_of_a_destination_is_caught(
    recipe: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[type[Lane], pytest.MonkeyPatch], None],
    test: Callable[..., None],
    found: str,
) -> None:
    plant(recipe.spool.SpoolLane, monkeypatch)
    clock, endpoint = ManualClock(), recipe.test_spool.Endpoint(tmp_path / "spool")
    opened = endpoint.open(clock)
    given = {"endpoint": endpoint, "destination": opened, "clock": clock, "self": DestinationContract()}
    named = test.__code__.co_varnames[: test.__code__.co_argcount]
    try:
        with pytest.raises(AssertionError, match=found):
            test(**{name: given[name] for name in named})
    finally:
        Lane.close(opened)
        opened.submit((), SettledParcels())
