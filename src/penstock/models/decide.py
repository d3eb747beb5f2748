"""The registry as arithmetic: a state folded from events, and the events that answer a command.

The state is only ever what the events say, so every process that reads the system topic comes to the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

import pyarrow as pa

from ..errors import ArtifactDamaged, ModelRefused, NotFound
from . import signature as signatures
from .interface import Alias, ModelVersion, Signature
from .messages import (
    Activated,
    Answer,
    Command,
    Message,
    MoveAlias,
    Promoted,
    Refused,
    Register,
    Registered,
    from_rows,
)

REMEMBERED = 16_384
"""Commands whose answers are kept, the latest. A repeat comes from a retry, so minutes or a day after its first; the
bound is counted in commands, not in time, so that every process forgets the same ones (about 5 MB when full)."""

Inspect = Callable[[Register], tuple[str, Signature]]
"""The runtime that claims the artifact, and its signature.

Raises ``ModelRefused``, ``ArtifactDamaged`` or ``NotFound``, and ``Unfinished`` when it is not known yet; anything else
fails the whole pass, for another try."""


class Unfinished(Exception):
    """The artifact is being looked at: the command is left unanswered, and will be asked again by its id."""


@dataclass(slots=True)
class RegistryState:
    """``versions[model][n - 1]`` is version n. Applying an event twice changes nothing."""

    versions: dict[str, tuple[ModelVersion, ...]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], Alias] = field(default_factory=dict)
    activations: dict[tuple[str, str, int], Activated] = field(default_factory=dict)
    answers: dict[str, tuple[Answer, ...]] = field(default_factory=dict)

    def copy(self) -> RegistryState:
        return RegistryState(dict(self.versions), dict(self.aliases), dict(self.activations), dict(self.answers))

    def apply(self, message: Message) -> None:
        match message:
            case Registered():
                self._register(message)
            case Promoted():
                self._promote(message)
            case Activated():
                self.activations[message.stage, message.topic, message.partition] = message
        if isinstance(message, (Registered, Promoted, Refused)):
            self._remember(message)

    def _register(self, event: Registered) -> None:
        have = self.versions.get(event.model, ())
        if event.version != len(have) + 1:
            return
        version = ModelVersion(
            event.model,
            event.version,
            event.digest,
            event.runtime,
            signatures.from_json(event.signature),
            event.created,
            event.trusted,
            event.dataset_id,
            event.metrics,
        )
        self.versions[event.model] = (*have, version)

    def _promote(self, event: Promoted) -> None:
        now = self.aliases.get((event.model, event.alias))
        if now is None or event.epoch > now.epoch:
            again = now is not None and event.to_version == now.version  # a move that moved nothing
            previous = now.previous if again and now is not None else event.from_version
            alias = Alias(event.model, event.alias, event.to_version, event.epoch, previous)
            self.aliases[event.model, event.alias] = alias

    def _remember(self, answer: Answer) -> None:
        known = self.answers.get(answer.causationid, ())
        if answer not in known:
            self.answers[answer.causationid] = (*known, answer)
        if len(self.answers) > REMEMBERED:
            del self.answers[next(islice(self.answers, 1))]


def fold(messages: Iterable[Message]) -> RegistryState:
    state = RegistryState()
    for message in messages:
        state.apply(message)
    return state


def answer(state: RegistryState, rows: pa.RecordBatch, *, now: int, inspect: Inspect) -> tuple[list[Answer], list[int]]:
    """Answer the commands among rows of the system topic, in order; the state given stays as it is.

    Those that are unfinished are passed over: who comes behind them does not wait.

    Returns the events and, for each, the row of its command. ``now`` is in microseconds since the epoch.
    """
    ahead, events, parents = state.copy(), list[Answer](), list[int]()
    for row, message in from_rows(rows):
        if not isinstance(message, Command):
            continue
        try:
            given = decide(ahead, message, now=now, inspect=inspect)
        except Unfinished:
            continue
        for event in given:
            ahead.apply(event)
            events.append(event)
            parents.append(row)
    return events, parents


def decide(state: RegistryState, command: Command, *, now: int, inspect: Inspect) -> tuple[Answer, ...]:
    """The events that answer a command in this state; none when its id was answered before. Raises ``Unfinished``."""
    if command.id in state.answers:
        return ()
    if (fault := command.fault()) is not None:
        return (refuse(command, "invalid", fault),)
    if isinstance(command, Register):
        return _register(state, command, now, inspect)
    if isinstance(command, MoveAlias):
        return (_move(state, command),)
    return (refuse(command, "invalid", f"{type(command).__name__} is no command of the registry"),)


def _register(state: RegistryState, command: Register, now: int, inspect: Inspect) -> tuple[Answer, ...]:
    have = state.versions.get(command.name, ())
    if have and command.only_if_none:
        return (refuse(command, "exists", f"model '{command.name}' has version {len(have)} already"),)
    try:
        runtime, signature = inspect(command)
    except ModelRefused as error:
        return (refuse(command, "refused", str(error)),)
    except ArtifactDamaged as error:
        return (refuse(command, "damaged", str(error)),)
    except NotFound as error:
        return (refuse(command, "not-found", str(error)),)
    registered = Registered(
        model=command.name,
        version=len(have) + 1,
        digest=command.digest,
        runtime=runtime,
        signature=signatures.to_json(signature),
        created=now,
        causationid=command.id,
        trusted=command.trusted,
        dataset_id=command.dataset_id,
        metrics=command.metrics,
    )
    if have and not command.promote:
        return (registered,)
    return (registered, _point(state, command.name, command.alias, registered.version, command.id))


def _move(state: RegistryState, command: MoveAlias) -> Answer:
    have = len(state.versions.get(command.model, ()))
    if not 1 <= command.version <= have:
        found = f"its versions are 1 to {have}" if have else "there is no model of that name"
        return refuse(command, "not-found", f"no version {command.model}/{command.version}: {found}")
    alias = state.aliases.get((command.model, command.alias))
    points_to = 0 if alias is None else alias.version
    if command.expected is not None and command.expected != points_to:
        ref = f"{command.model}@{command.alias}"
        expected, found = (f"version {v}" if v else "no version" for v in (command.expected, points_to))
        return refuse(command, "conflict", f"{ref} points to {found}, expected was {expected}; nothing was changed")
    return _point(state, command.model, command.alias, command.version, command.id)


def _point(state: RegistryState, model: str, alias: str, version: int, cause: str) -> Promoted:
    now = state.aliases.get((model, alias))
    return Promoted(
        model=model,
        alias=alias,
        from_version=None if now is None else now.version,
        to_version=version,
        epoch=1 if now is None else now.epoch + 1,
        causationid=cause,
    )


def refuse(command: Command, kind: str, reason: str) -> Refused:
    return Refused(kind=kind, reason=reason, causationid=command.id)
