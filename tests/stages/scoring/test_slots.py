"""Slots by version: one in use stays as it is, and each version is in one of them at most."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.stages.conftest import Scripted
from tests.stages.scoring.held_call import HeldCall

from penstock.clock import ManualClock
from penstock.runner.interface import Applied
from penstock.stages.scoring.slots import Loan, Slot, Slots

KEPT_S = 60.0  # seconds that an idle one stays warm
REFS = ("m/1", "m/2", "m/3", "m/4")
DIGESTS = ("a", "b")


class Process(Scripted):
    """A runner that can only be started and ended."""

    def __init__(self) -> None:
        super().__init__(never)
        self.ended = 0
        self.started = 0
        self.ending: Callable[[], object] = lambda: None

    def start(self) -> None:
        self.started += 1

    def close(self) -> None:
        self.ending()
        self.ended += 1


def never(rows: pa.RecordBatch, timeout: float) -> Applied:
    raise NotImplementedError


def slots_of(count: int) -> tuple[Slots, list[Process], ManualClock]:
    clock, processes = ManualClock(), [Process() for _ in range(count)]
    return Slots(processes, clock, rows=100), processes, clock


def held(slots: Slots) -> list[str]:
    """The version that each is warm with; empty: none."""
    return [slot.ref if slot.warm else "" for slot in slots._slots]


def warm(slots: Slots, ref: str) -> Slot:
    slot = slots.claim(ref)
    assert slot is not None
    slots.warmed(slot)
    return slot


# -- one by one ---------------------------------------------------------------


def test_one_runner_has_one_version_and_none_can_be_loaded_beside() -> None:
    slots, _, _ = slots_of(1)
    slot = warm(slots, "m/1")
    assert slots.claim("m/2") is None
    slots.release(slot)
    assert held(slots) == ["m/1"]
    assert slots.claim("m/2") is slot and held(slots) == [""], "once nobody uses it, another is loaded there"


def test_a_slot_without_a_version_is_taken_first_and_then_what_was_of_no_use_for_longest() -> None:
    slots, _, clock = slots_of(3)
    for ref in ("m/1", "m/2"):
        slots.release(warm(slots, ref))
        clock.advance(1)
    slots.release(warm(slots, "m/3"))
    assert held(slots) == ["m/1", "m/2", "m/3"]
    clock.advance(1)
    used = slots.use("m/1")
    assert used is not None
    slots.release(used)
    slots.release(warm(slots, "m/4"))
    assert held(slots) == ["m/1", "m/4", "m/3"]


def test_a_version_that_is_loaded_already_is_loaded_nowhere_else() -> None:
    slots, _, _ = slots_of(3)
    assert slots.claim("m/1") is slots.claim("m/1")
    assert slots.use("m/1") is None, "it has not answered"


def test_what_did_not_come_to_be_warm_or_died_has_no_version_once_it_is_idle() -> None:
    slots, _, _ = slots_of(2)
    failed, died = slots.claim("m/1"), warm(slots, "m/2")
    assert failed is not None
    slots.cooled(died)
    assert died.ref == "m/2", "its user loads it again"
    slots.release(failed)
    slots.release(died)
    assert (failed.ref, died.ref, held(slots)) == ("", "", ["", ""])


def test_what_is_in_use_is_not_retired_and_the_rest_is_once() -> None:
    slots, processes, clock = slots_of(3)
    slots.release(warm(slots, "m/1"))
    used = warm(slots, "m/2")
    clock.advance(KEPT_S)
    for _ in range(3):
        slots.retire(KEPT_S)
    assert [process.ended for process in processes] == [1, 0, 0] and held(slots) == ["", "m/2", ""]
    slots.release(used)
    clock.advance(KEPT_S - 1)
    slots.retire(KEPT_S)
    assert held(slots) == ["", "m/2", ""]


def test_a_process_is_started_only_before_there_is_a_version() -> None:
    slots, processes, _ = slots_of(2)
    slots.start()
    slots.release(warm(slots, "m/1"))
    slots.start()
    assert [process.started for process in processes] == [1, 0]


def test_one_artifact_is_looked_at_before_there_is_a_version() -> None:
    slots, processes, _ = slots_of(2)
    loan = slots.lend("a")
    assert loan is not None and loan.runner is processes[0]
    assert slots.lend("a") is None and slots.lend("b") is None
    loan.give_back(True)
    assert slots.lend("b") is None, "what has looked at one is to load that one"
    first = slots.claim("m/1", "a")
    assert first is not None and first.runner is processes[0]
    slots.clear(first)
    assert processes[0].ended == 0
    assert slots.lend("a") is None, "it is in use"


def test_another_ones_code_is_ended_before_the_version_is_loaded_by_anybody() -> None:
    """The second of two that want it waits until the process of before is gone."""
    slots, processes, _ = slots_of(2)
    loan = slots.lend("b")
    assert loan is not None
    loan.give_back(True)
    first, second = slots.claim("m/1", "a"), slots.claim("m/1", "a")
    assert first is not None and first is second
    processes[0].ending = held_up = HeldCall()
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(slots.clear, first)
        assert held_up.asked.wait(60)
        other = threads.submit(slots.clear, first)
        assert not wait([other], 0.2).done
        held_up.let.set()
        one.result(60), other.result(60)
    assert processes[0].ended == 1


def test_after_the_close_none_is_given_out_and_who_lets_go_of_one_ends_it() -> None:
    slots, processes, _ = slots_of(3)
    used, loading = warm(slots, "m/1"), slots.claim("m/2")
    assert loading is not None
    slots.close()
    assert [process.ended for process in processes] == [1, 1, 1]
    slots.warmed(loading)
    slots.release(loading)
    slots.release(used)
    assert [process.ended for process in processes] == [2, 2, 1]
    assert slots.use("m/1") is None and slots.claim("m/3") is None and slots.lend("a") is None
    slots.start()
    assert not any(process.started for process in processes)


def goes_on_while_one_is_ended(patience: float) -> bool:
    """A process takes its time to end. Is the slot beside it given out meanwhile?"""
    slots, processes, clock = slots_of(2)
    slots.release(warm(slots, "m/1"))
    clock.advance(KEPT_S)
    used = warm(slots, "m/2")
    processes[0].ending = held_up = HeldCall()
    with ThreadPoolExecutor(2) as threads:
        retired = threads.submit(slots.retire, KEPT_S)
        assert held_up.asked.wait(60)
        found = threads.submit(slots.use, "m/2")
        done = bool(wait([found], patience).done)
        if done:
            assert slots.claim("m/3") is None, "one that is being ended is loaded into"
        held_up.let.set()
        retired.result(60)
        assert found.result(60) is used
    return done


def test_nobody_waits_for_a_process_that_ends() -> None:
    assert goes_on_while_one_is_ended(60.0)


def test_mutant_it_is_ended_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    def under_the_lock(self: Slots, idle_s: float) -> None:
        with self._lock:
            for slot in self._slots:
                if slot.idle:
                    slot.runner.close()

    monkeypatch.setattr(Slots, "retire", under_the_lock)
    assert not goes_on_while_one_is_ended(1.0)


# -- whatever the order -------------------------------------------------------


class Protocol(RuleBasedStateMachine):
    """Users, loads, loans and the clock in any order, on one to three runners."""

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        self.slots, self.processes, self.clock = slots_of(count)
        self.users: list[tuple[Slot, str]] = []
        self.loans: list[tuple[Loan, Process]] = []
        self.closed = False
        for process in self.processes:
            process.ending = self.ends(process)

    def ends(self, process: Process) -> Callable[[], None]:
        def ending() -> None:
            used = [ref for slot, ref in self.users if slot.runner is process and slot.warm]
            lent = any(runner is process for _, runner in self.loans)
            assert self.closed or not (used or lent), "one in use is ended"

        return ending

    @rule(ref=st.sampled_from(REFS), digest=st.sampled_from(DIGESTS))
    def claim(self, ref: str, digest: str) -> None:
        taken = {slot.runner for slot, _ in self.users} | {runner for _, runner in self.loans}
        holders = {slot.runner for slot, used in self.users if used == ref}
        slot = self.slots.claim(ref, digest)
        if slot is None:
            assert self.closed or (len(taken) == len(self.processes) and not holders), (
                "none is given though one is free"
            )
            return
        assert slot.runner not in taken - holders, "one in use is given out for another version"
        self.users.append((slot, ref))
        self.slots.clear(slot)
        assert not slot.looked, "it is loaded where another was looked at"

    @rule(ref=st.sampled_from(REFS))
    def use(self, ref: str) -> None:
        there = ref in held(self.slots)
        slot = self.slots.use(ref)
        assert (slot is not None) == (there and not self.closed)
        if slot is not None:
            self.users.append((slot, ref))

    @rule(data=st.data())
    def warmed(self, data: st.DataObject) -> None:
        if self.users:
            self.slots.warmed(data.draw(st.sampled_from(self.users))[0])

    @rule(data=st.data())
    def cooled(self, data: st.DataObject) -> None:
        if self.users:
            self.slots.cooled(data.draw(st.sampled_from(self.users))[0])

    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        if self.users:
            user = self.users.pop(data.draw(st.integers(0, len(self.users) - 1)))
            self.slots.release(user[0])

    @rule(digest=st.sampled_from(DIGESTS))
    def lend(self, digest: str) -> None:
        before = bool(self.users or any(held(self.slots)) or self.loans or self.closed)
        loan = self.slots.lend(digest)
        if loan is not None:
            assert not before, "one is lent though there is a version, or another loan"
            self.loans.append((loan, next(each for each in self.processes if each is loan.runner)))

    @rule(fits=st.booleans())
    def give_back(self, fits: bool) -> None:
        if self.loans:
            self.loans.pop()[0].give_back(fits)

    @rule(seconds=st.sampled_from([1.0, KEPT_S]))
    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def retire(self) -> None:
        self.slots.retire(KEPT_S)
        now = self.clock.monotonic()
        for slot in self.slots._slots:
            assert not slot.idle or slot.idle_since == float("inf") or now - slot.idle_since < KEPT_S, "it is kept"

    @rule()
    def close(self) -> None:
        if len(self.users) > 2:  # seldom: there is nothing after it
            self.closed = True
            self.slots.close()

    @invariant()
    def one_slot_a_version(self) -> None:
        refs = [slot.ref for slot in self.slots._slots if slot.ref]
        assert len(refs) == len(set(refs)), "a version is in two slots"

    @invariant()
    def users_keep_theirs(self) -> None:
        for slot, ref in self.users:
            assert slot.ref == ref, "another version is loaded where one is in use"

    @invariant()
    def nothing_is_forgotten(self) -> None:
        assert sum(slot.pins for slot in self.slots._slots) == len(self.users) + len(self.loans)
        idle = [slot for slot in self.slots._slots if slot.idle]
        assert all(slot.warm == bool(slot.ref) for slot in idle), "an idle one is not warm with its version"


def played() -> None:
    run_state_machine_as_test(
        Protocol,
        settings=settings(
            max_examples=100,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.generate],  # a planted bug is found, and need not be made short
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_protocol_holds_in_any_order() -> None:
    played()


def test_mutant_one_in_use_is_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Slots, "_free", lambda self: self._slots[0])
    with pytest.raises(AssertionError, match="one in use is given out for another version"):
        played()


def test_mutant_a_version_is_loaded_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    find = Slots._of

    def warm_only(self: Slots, ref: str) -> Any:
        slot = find(self, ref)
        return slot if slot is not None and slot.warm else None

    monkeypatch.setattr(Slots, "_of", warm_only)
    with pytest.raises(AssertionError, match=r"a version is in two slots|none is given though"):
        played()


def test_mutant_one_in_use_is_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    def every(self: Slots, idle_s: float) -> None:
        for slot in self._slots:
            slot.runner.close()

    monkeypatch.setattr(Slots, "retire", every)
    with pytest.raises(AssertionError, match="one in use is ended"):
        played()
