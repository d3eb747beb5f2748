"""The registry as any process sees it: a view of ``penstock.system``, read by itself and never written.

Changes are commands appended to that topic (``messages``); the stage that owns it answers them (``decide.answer``).
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from ..batch import Batch
from ..clock import Clock
from ..errors import Conflict, Corrupt, ModelRefused, NotFound, PenstockError
from ..log.interface import Reader
from .decide import RegistryState
from .interface import Alias, ModelVersion
from .messages import CHAMPION, Activated, Answer, Message, Promoted, Refused, Register, Registered, from_rows

POLL_S = 0.005  # seconds between two looks for an answer
AT_ONCE_ROWS = 4_096  # rows of one read


class Registry:
    """A view for many threads. ``reader`` is an anonymous one over ``penstock.system``, from the earliest event.

    What a look-up answers is as of the last ``refresh``.
    """

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._state = RegistryState()
        self._lock = Lock()
        self._broken: PenstockError | None = None
        self._asked: dict[str, Register] = {}  # registrations without an answer, by id
        self._refused: dict[str, str] = {}  # why the last registration was refused, by model

    def refresh(self) -> None:
        """Take in all that was committed before this call. Cheap when there is nothing.

        Raises ``Corrupt``, from then on at every call, when a row of the topic cannot be read: an unknown change is
        worse than none.
        """
        # Every caller waits its turn: one that went on with what another is still reading could miss the activation of
        # the partition it has just been given.
        with self._lock:
            if self._broken is not None:
                raise self._broken
            while batches := self._reader.read(AT_ONCE_ROWS, 0.0):
                for batch in batches:
                    self._apply(batch)

    def resolve(self, ref: str) -> ModelVersion:
        """``name@alias``, ``name/version``, or ``name`` for its champion. Raises ``NotFound`` saying what there is."""
        name, slash, number = ref.partition("/")
        if slash:
            return self._numbered(name, number)
        name, _, alias = ref.partition("@")
        points = self.alias(name, alias or CHAMPION)
        if points is None:
            have = ", ".join(f"{a.alias} -> {a.version}" for a in self.aliases(name)) or "none"
            raise NotFound(f"model '{name}' has no alias '{alias or CHAMPION}' (aliases: {have})")
        return self._state.versions[name][points.version - 1]

    def alias(self, name: str, alias: str = CHAMPION) -> Alias | None:
        return self._state.aliases.get((name, alias))

    def aliases(self, name: str) -> Sequence[Alias]:
        with self._lock:
            return [a for (model, _), a in self._state.aliases.items() if model == name]

    def models(self) -> Sequence[str]:
        with self._lock:
            return sorted(self._state.versions)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """Version n at place n - 1; empty for a model that has none."""
        return self._state.versions.get(name, ())

    def asked(self, name: str) -> bool:
        """Does a registration of this model wait for its answer?"""
        return any(command.name == name for command in self.unanswered())

    def uses(self, digest: str) -> bool:
        """Has a version this artifact, or may one yet: does a registration of it wait for its answer?"""
        with self._lock:
            known = any(version.digest == digest for each in self._state.versions.values() for version in each)
            return known or any(command.digest == digest for command in self._asked.values())

    def unanswered(self) -> Sequence[Register]:
        """The registrations that wait for their answer."""
        with self._lock:
            return list(self._asked.values())

    def refused(self, name: str) -> str:
        """Why the last registration of this model was refused; empty when it was not."""
        return self._refused.get(name, "")

    def activation(self, stage: str, topic: str, partition: int) -> Activated | None:
        """What this stage last said it scores that partition with."""
        return self._state.activations.get((stage, topic, partition))

    def snapshot(self) -> RegistryState:
        with self._lock:
            return self._state.copy()

    def wait_for(self, command: str, timeout: float) -> Registered | Promoted:
        """Wait for the answer to the command of this id.

        Raises what it was refused with (``Conflict``, ``NotFound``, ``ModelRefused``), or ``TimeoutError`` after
        ``timeout`` seconds: the command may be applied yet, and asking again with its id is harmless.
        """
        deadline = self._clock.monotonic() + timeout
        while True:
            self.refresh()
            if given := self._state.answers.get(command):
                return outcome(given)
            if self._clock.monotonic() >= deadline:
                raise TimeoutError(f"the registry has not answered command {command} within {timeout:g} s")
            self._clock.sleep(POLL_S)

    def close(self) -> None:
        self._reader.close()

    def _numbered(self, name: str, number: str) -> ModelVersion:
        versions = self.versions(name)
        if number.isdecimal() and 1 <= int(number) <= len(versions):
            return versions[int(number) - 1]
        have = f"its versions are 1 to {len(versions)}" if versions else "there is no model of that name"
        raise NotFound(f"no version {name}/{number}: {have}")

    def _apply(self, batch: Batch) -> None:
        try:
            if batch.rejected:
                raise ValueError(batch.rejected[0].reason)
            for _, message in from_rows(batch.rows):
                self._state.apply(message)
                self._note(message)
        except (ValueError, ModelRefused) as error:  # msgspec's errors are ValueErrors
            position = batch.rejected[0].position if batch.rejected else batch.through
            self._broken = Corrupt(
                f"the registry stands still: {batch.topic} cannot be read up to position {position}: {error}",
                topic=batch.topic,
                partition=batch.partition,
                position=position,
            )
            raise self._broken from error

    def _note(self, message: Message) -> None:
        """What became of registrations, beside the state, which holds only what must last."""
        match message:
            case Register() if message.id not in self._state.answers:
                self._asked[message.id] = message
            case Registered():
                self._asked.pop(message.causationid, None)
                self._refused.pop(message.model, None)
            case Refused():
                if (asked := self._asked.pop(message.causationid, None)) is not None and message.kind != "exists":
                    self._refused[asked.name] = message.reason


def outcome(given: Sequence[Answer]) -> Registered | Promoted:
    """The event that grants a command, or the error that it was refused with."""
    first = given[0]
    if not isinstance(first, Refused):
        return first
    kinds: dict[str, type[PenstockError]] = {"conflict": Conflict, "exists": Conflict, "not-found": NotFound}
    raise kinds.get(first.kind, ModelRefused)(first.reason)
