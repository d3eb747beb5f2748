"""Another area beside the models: it fits without a change of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec
import pytest
from tests.system.area_contract import AreaContract
from tests.system.house import House

from penstock.batch import SNAPSHOTS, SYSTEM, Write
from penstock.log.memory import MemoryLog
from penstock.models.decide import RegistryState
from penstock.models.messages import Register
from penstock.run.compose.bootstrap import SYSTEM_TOPIC
from penstock.system.answer_cache import AnswerCache
from penstock.system.areas import Areas
from penstock.system.messages import Command, Malformed, Message, Refused, by_type, to_rows
from penstock.system.owner import answer, snapshot
from penstock.system.view import View


class Pin(Command, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "penstock.command.pin"

    text: str


class Pinned(Message, frozen=True, kw_only=True):
    TYPE: ClassVar[str] = "penstock.note.pinned"

    text: str
    causationid: str


class Notes:
    """Texts that are pinned once."""

    name: ClassVar[str] = "notes"
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = (Pin, Pinned)

    def __init__(self, texts: list[str] | None = None, answers: AnswerCache | None = None) -> None:
        self.texts = texts or []
        self.answers = AnswerCache(by_type((Pinned, Refused)), most=10) if answers is None else answers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Notes) and (self.texts, self.answers) == (other.texts, other.answers)

    __hash__ = None  # type: ignore[assignment]

    def apply(self, message: Message) -> None:
        if isinstance(message, Pinned) and message.text not in self.texts:
            self.texts.append(message.text)
        if isinstance(message, Pinned | Refused):
            self.answers.remember(message.causationid, message)

    def decide(self, command: Command, *, now: int) -> tuple[Message, ...]:
        if command.id in self.answers:
            return ()
        if isinstance(command, Pin) and command.text not in self.texts:
            return (Pinned(text=command.text, causationid=command.id),)
        return (Refused(kind="exists", reason="it hangs there", causationid=command.id, area=self.name),)

    def ahead(self) -> Notes:
        return Notes(list(self.texts), self.answers.ahead())

    def save(self) -> bytes:
        return msgspec.msgpack.encode((self.texts, self.answers.saved()))

    def restore(self, saved: bytes) -> None:
        kind = tuple[list[str], dict[str, tuple[bytes, ...]]]
        self.texts, answers = msgspec.msgpack.decode(saved, type=kind)
        self.answers = AnswerCache(by_type((Pinned, Refused)), answers, 10)


class TestNotes(AreaContract):
    def new(self) -> Notes:
        return Notes()

    def life(self) -> Sequence[Message]:
        return [
            Pin(id="a", text="one"),
            Pinned(text="one", causationid="a"),
            Refused(kind="exists", reason="no", causationid="b", area="notes"),
        ]

    def command(self) -> Command:
        return Pin(id="c", text="two")


@pytest.fixture
def house() -> House:
    return House(MemoryLog(gap=3))


def both(house: House) -> tuple[View, RegistryState, Notes]:
    state, notes = RegistryState(inspect=house.models.inspect), Notes()
    view = View(house.log, [state, notes], house.clock, "both")
    view.refresh()
    return view, state, notes


def ask(house: House, view: View, *commands: Command) -> None:
    rows = to_rows(commands)
    events, _ = answer(view.areas, rows, now=1)
    house.log.append([Write(SYSTEM, 0, rows), Write(SYSTEM, 0, to_rows(events))])
    view.refresh()


def test_each_has_its_own_commands_and_refusals(house: House) -> None:
    view, state, notes = both(house)
    ask(house, view, Pin(id="a", text="one"), Register(id="b", name="delay", digest="ab" * 32), Pin(id="c", text="one"))
    assert (list(state.answers), list(notes.answers)) == (["b"], ["a", "c"])
    assert (list(state.versions), notes.texts) == (["delay"], ["one"])
    assert view.areas.of(Malformed(id="x", reason="", of=Pin.TYPE)) is notes


def test_both_start_from_their_snapshots(house: House) -> None:
    view, state, notes = both(house)
    ask(house, view, Pin(id="a", text="one"), Register(id="b", name="delay", digest="ab" * 32))
    parts, told = snapshot(view)
    house.log.append([Write(SNAPSHOTS, 0, parts), Write(SYSTEM, 0, told)])
    house.log.reset(SYSTEM_TOPIC)  # type: ignore[attr-defined]
    assert both(house)[1:] == (state, notes)


def test_one_that_no_snapshot_knows_reads_the_whole_history(house: House) -> None:
    """A version before it wrote the snapshots; and one that does not know it goes on without."""
    view, state, notes = both(house)
    ask(house, view, Pin(id="a", text="one"), Register(id="b", name="delay", digest="ab" * 32))
    house.owner.refresh()
    house.save()
    ask(house, view, Pin(id="c", text="two"))
    assert both(house)[1:] == (state, notes)
    assert house.started() == state


def test_an_area_is_found_by_its_class() -> None:
    areas = Areas([state := RegistryState(), Notes()])
    assert areas.only(RegistryState) is state
    with pytest.raises(KeyError, match="notes"):
        Areas([state]).only(Notes)
