"""The registry's arithmetic, under any sequence of commands."""

from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import ArtifactDamaged, ModelRefused, NotFound
from penstock.models import decide as deciding
from penstock.models.decide import RegistryState, decide, fold
from penstock.models.interface import Signature
from penstock.models.messages import Answer, MoveAlias, Promoted, Register, Registered
from penstock.system.messages import Command, Refused

SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))
DIGEST = "ab" * 32


def inspect(command: Register) -> tuple[str, Signature]:
    if command.digest.startswith("bad"):
        raise ModelRefused("it is a cake")
    return "onnx", SIGNATURE


def ask(state: RegistryState, *commands: Command) -> list[Answer]:
    events = []
    for command in commands:
        for event in decide(state, command, now=7, inspect=inspect):
            state.apply(event)
            events.append(event)
    return events


def saved(state: RegistryState) -> RegistryState:
    """As a process has it that starts from a snapshot."""
    again = RegistryState()
    again.restore(state.save())
    return again


def register(id: str = "a", **fields: object) -> Register:
    return Register(**{"id": id, "name": "delay", "digest": DIGEST, **fields})  # type: ignore[arg-type]


def move(id: str = "m", **fields: object) -> MoveAlias:
    return MoveAlias(**{"id": id, "model": "delay", "alias": "champion", "version": 1, **fields})  # type: ignore[arg-type]


def test_the_first_version_becomes_champion_in_the_same_answer() -> None:
    first = ask(RegistryState(), register(metrics={"auc": 0.9}, dataset_id="d1"))
    assert isinstance(first[0], Registered)
    assert (first[0].version, first[0].created, first[0].metrics, first[0].dataset_id) == (1, 7, {"auc": 0.9}, "d1")
    assert first[1] == Promoted(
        model="delay", alias="champion", from_version=None, to_version=1, epoch=1, causationid="a"
    )


def test_a_model_may_declare_another_alias() -> None:
    state = RegistryState()
    ask(state, register(alias="live"))
    assert list(state.aliases) == [("delay", "live")]


def test_later_versions_wait_for_a_promotion() -> None:
    state = RegistryState()
    ask(state, register(), register("b"))
    assert len(state.versions["delay"]) == 2
    assert state.aliases["delay", "champion"].version == 1
    ask(state, move(version=2, expected=1))
    assert (state.aliases["delay", "champion"].version, state.aliases["delay", "champion"].epoch) == (2, 2)


def test_a_roll_back_is_a_new_epoch() -> None:
    state = RegistryState()
    ask(state, register(), register("b"), move("m", version=2), move("n", version=1))
    assert (state.aliases["delay", "champion"].version, state.aliases["delay", "champion"].epoch) == (1, 3)


def test_an_alias_remembers_the_version_before() -> None:
    state = RegistryState()

    def previous() -> int | None:
        return state.aliases["delay", "champion"].previous

    ask(state, register(), register("b"))
    assert previous() is None
    ask(state, move("m", version=2))
    assert previous() == 1
    ask(state, move("n", version=2))
    assert previous() == 1, "a move that moved nothing"
    ask(state, move("o", version=1))
    assert previous() == 2


def test_an_old_promotion_read_again_does_not_take_the_alias_back() -> None:
    state = RegistryState()
    log = ask(state, register(), register("b"), move("m", version=2))
    again = saved(state)
    again.apply(log[1])
    assert again == state


def test_a_conflict_says_what_was_expected_and_what_is_there() -> None:
    state = RegistryState()
    (refused,) = ask(state, register(), register("b"), move(version=2, expected=7))[3:]
    assert isinstance(refused, Refused)
    assert refused.kind == "conflict"
    assert refused.reason == ("delay@champion points to version 1, expected was version 7; nothing was changed")
    assert state.aliases["delay", "champion"].version == 1


def test_expected_0_means_that_the_alias_is_new() -> None:
    state = RegistryState()
    ask(state, register())
    assert isinstance(ask(state, move(alias="next", expected=0))[0], Promoted)
    refused = ask(state, move("n", alias="next", expected=0))[0]
    assert isinstance(refused, Refused)
    assert "expected was no version" in refused.reason


@pytest.mark.parametrize(
    ("command", "kind", "says"),
    [
        (register(name="../etc"), "invalid", "is no model name"),
        (register(name=""), "invalid", "is no model name"),
        (register(alias="7"), "invalid", "not only digits"),
        (register(trust="sha256:" + "cd" * 32), "invalid", "trust names"),
        (register(metrics={"auc": float("nan")}), "invalid", "finite"),
        (register(""), "invalid", "needs an id"),
        (register(digest="bad"), "refused", "cake"),
        (move(version=1), "not-found", "no model of that name"),
        (move(alias="a b"), "invalid", "is no alias"),
        (move(version=0), "not-found", "no version delay/0"),
    ],
)
def test_what_cannot_be_done_is_refused_and_changes_nothing(command: Command, kind: str, says: str) -> None:
    state = RegistryState()
    (refused,) = ask(state, command)
    assert isinstance(refused, Refused)
    assert (refused.kind, refused.causationid) == (kind, command.id)
    assert says in refused.reason
    assert (state.versions, state.aliases) == ({}, {})


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ArtifactDamaged("sha256 differs"), "damaged"),
        (NotFound("no artifact"), "not-found"),
    ],
)
def test_an_artifact_that_cannot_be_looked_at_is_refused(error: Exception, kind: str) -> None:
    def fails(_: Register) -> tuple[str, Signature]:
        raise error

    (refused,) = decide(RegistryState(), register(), now=0, inspect=fails)
    assert isinstance(refused, Refused)
    assert refused.kind == kind
    assert str(error) in refused.reason


def test_a_passing_failure_leaves_the_command_for_another_try() -> None:
    def away(_: Register) -> tuple[str, Signature]:
        raise OSError("the disk is away")

    with pytest.raises(OSError, match="away"):
        decide(RegistryState(), register(), now=0, inspect=away)


def test_seeding_does_nothing_to_a_model_that_has_a_version() -> None:
    state = RegistryState()
    ask(state, register("a", only_if_none=True))
    (refused,) = ask(state, register("b", only_if_none=True, digest="bad: not even looked at"))
    assert isinstance(refused, Refused)
    assert refused.kind == "exists"
    assert len(state.versions["delay"]) == 1


def test_a_repeat_has_no_new_answer() -> None:
    state = RegistryState()
    assert len(ask(state, register())) == 2
    assert ask(state, register(), register(digest="other")) == []


def test_answers_are_remembered_for_so_many_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "REMEMBERED", 3)
    state = RegistryState()
    ask(state, *(register(str(n)) for n in range(5)))
    assert list(state.answers) == ["2", "3", "4"]


names = st.sampled_from(["a", "b"])
ids = st.sampled_from([str(n) for n in range(12)])
registers = st.builds(
    Register,
    id=ids,
    name=names,
    digest=st.sampled_from([DIGEST, "bad"]),
    only_if_none=st.booleans(),
    alias=st.sampled_from(["champion", "live", "9"]),
)
moves = st.builds(
    MoveAlias,
    id=ids,
    model=names,
    alias=st.sampled_from(["champion", "live"]),
    version=st.integers(0, 4),
    expected=st.none() | st.integers(0, 4),
)
sequences = st.lists(registers | moves, max_size=25)


@settings(max_examples=150, deadline=None)
@given(sequences)
def test_any_sequence_keeps_the_promises(commands: Sequence[Register | MoveAlias]) -> None:
    state, log = RegistryState(), list[Answer]()
    for command in commands:
        before = state.answers.get(command.id)
        events = ask(state, command)
        log += events
        assert (before is None) == bool(events), "answered once, and always"
        assert before is None or state.answers[command.id] == before, "the same id has the same answer"
    assert_promises(state, log)


def assert_promises(state: RegistryState, log: Sequence[Answer]) -> None:
    assert fold(log) == state, "the log does not say what is so"
    again = saved(state)
    for event in log:
        again.apply(event)
        assert again == state, "reading an event again, however late, changes nothing"
    for versions in state.versions.values():
        assert [v.version for v in versions] == list(range(1, len(versions) + 1))
    assert set(state.aliases) == {(e.model, e.alias) for e in log if isinstance(e, Promoted)}, "a move is forgotten"
    for alias in state.aliases.values():
        moves = [e for e in log if isinstance(e, Promoted) and (e.model, e.alias) == (alias.model, alias.alias)]
        assert [e.epoch for e in moves] == list(range(1, len(moves) + 1))
        assert [e.from_version for e in moves] == [None, *(e.to_version for e in moves[:-1])]
        assert alias.version == moves[-1].to_version
        assert alias.version <= len(state.versions.get(alias.model, ())), "a version that is not there"


@pytest.mark.parametrize(
    ("planted", "said"),
    [
        pytest.param("_promote", "a move is forgotten", id="an epoch that stands still"),
        pytest.param("_remember", "an answer is forgotten", id="answers forgotten"),
        pytest.param("_register", "a version that is not there", id="versions with gaps"),
    ],
)
def test_the_promises_are_tested(planted: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RegistryState, planted, lambda self, event: None)
    state = RegistryState()
    log = ask(state, register(), register(), register("b"), move(version=1))
    with pytest.raises(AssertionError, match=said):
        assert log, "answered"
        assert_promises(state, log)
        assert len(state.answers) == 3, "an answer is forgotten"
        assert len(log) == 4
