"""The models as an area of the system."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest
from tests.system.area_contract import AreaContract

from penstock.models import decide as deciding
from penstock.models.decide import RegistryState
from penstock.models.interface import Signature
from penstock.models.messages import Activated, DeployedVersion, MoveAlias, Register
from penstock.system.answer_cache import AnswerCache
from penstock.system.messages import Command, Message, Refused

SIGNATURE = Signature(pa.schema([("x", pa.float32())]), pa.schema([("y", pa.float64())]))


class TestModels(AreaContract):
    def new(self) -> RegistryState:
        return RegistryState(inspect=lambda command: ("onnx", SIGNATURE))

    def life(self) -> Sequence[Message]:
        state, life = self.new(), list[Message]()

        def say(message: Message) -> None:
            state.apply(message)
            life.append(message)
            for event in state.decide(message, now=7) if isinstance(message, Command) else ():
                state.apply(event)
                life.append(event)

        for n in range(3):
            say(Register(id=f"r{n}", name="delay", digest="ab" * 32, metrics={"auc": n / 7}, dataset_id="d"))
            say(MoveAlias(id=f"m{n}", model="delay", alias="champion", version=1, expected=9 if n == 1 else None))
        say(Register(id="bad", name="a b", digest="ab" * 32))
        say(Activated(stage="s", topic="t", partition=1, from_offset=9, model="delay", version=1, epoch=1))
        say(DeployedVersion(stage="s", topic="t", model="delay", version=1, alias="champion", epoch=1))
        life.append(Register(id="waits", name="tea", digest="ef" * 32, inputs=("a",)))
        return life

    def command(self) -> Command:
        return Register(id="new", name="delay", digest="cd" * 32, promote=True)

    def test_a_pass_copies_nothing_of_what_grows(self, lived: RegistryState) -> None:
        ahead = lived.ahead()
        for part in (ahead.versions, ahead.aliases):
            assert isinstance(part, ChainMap) and part.maps[1] in (lived.versions, lived.aliases)
        assert not ahead.activations and not ahead.asked

    def test_why_a_registration_was_refused_is_kept(self, lived: RegistryState) -> None:
        assert lived.asked.keys() == {"waits"}
        assert "is no model name" in lived.refused["a b"]
        assert "is no model name" in self.restored(lived).refused["a b"]  # type: ignore[attr-defined]

    def test_versions_share_what_is_equal(self, lived: RegistryState) -> None:
        first, second, _ = lived.versions["delay"]
        assert first.signature is second.signature


def without(field: str) -> Callable[[RegistryState], bytes]:
    save = RegistryState.save

    def planted(self: RegistryState) -> bytes:
        kept = getattr(self, field)
        setattr(self, field, type(kept)() if isinstance(kept, dict) else AnswerCache(deciding.ANSWERS))
        try:
            return save(self)
        finally:
            setattr(self, field, kept)

    return planted


@pytest.mark.parametrize("field", ["versions", "aliases", "activations", "answers", "asked", "refused", "deployed"])
def test_what_a_snapshot_leaves_out_is_found(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = TestModels()
    lived = suite.new()
    for message in suite.life():
        lived.apply(message)
    monkeypatch.setattr(RegistryState, "save", without(field))
    with pytest.raises(AssertionError, match="all of it is in what is saved"):
        suite.test_what_is_saved_is_restored(lived)


def test_a_refusal_of_another_area_is_not_taken_for_one_of_a_model() -> None:
    assert Refused(kind="invalid", reason="", causationid="a").area == RegistryState.name
