"""The registry as arithmetic: a state folded from events, and the events that answer a command.

The state is only ever what the events say, so every process that reads the system topic comes to the same one.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import msgspec

from ..errors import ArtifactDamaged, ModelRefused, NotFound
from ..system.answer_cache import REMEMBERED, AnswerCache
from ..system.messages import MODELS, Command, Message, Refused, by_type
from . import signature as signatures
from .images import read_image, written_image
from .interface import Alias, ModelVersion, Signature
from .messages import MESSAGES, Activated, Answer, DeployedVersion, MoveAlias, Promoted, Register, Registered

ANSWERS = by_type((Registered, Promoted, Refused))

Inspect = Callable[[Register], tuple[str, Signature]]
"""The runtime that claims the artifact, and its signature.

Raises ``ModelRefused``, ``ArtifactDamaged`` or ``NotFound``, and ``Unfinished`` when it is not known yet; anything else
fails the whole pass, for another try."""


@dataclass(slots=True)
class RegistryState:
    """The models' area. ``versions[model][n - 1]`` is version n; ``asked`` are registrations without an answer, by id;
    ``refused`` is why the last one was refused, by model; ``deployed`` is what each stage was last said to score with.
    Applying an event twice changes nothing."""

    name: ClassVar[str] = MODELS
    form: ClassVar[int] = 1
    messages: ClassVar[Sequence[type[Message]]] = MESSAGES

    versions: MutableMapping[str, tuple[ModelVersion, ...]] = field(default_factory=dict)
    aliases: MutableMapping[tuple[str, str], Alias] = field(default_factory=dict)
    activations: dict[tuple[str, str, int], Activated] = field(default_factory=dict)
    answers: AnswerCache = field(default_factory=lambda: AnswerCache(ANSWERS, most=REMEMBERED))
    asked: dict[str, Register] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    deployed: dict[str, DeployedVersion] = field(default_factory=dict)
    inspect: Inspect | None = field(default=None, compare=False)  # of the process that owns the registry

    def apply(self, message: Message) -> None:
        match message:
            case Register() if message.id not in self.answers:
                self.asked[message.id] = message
            case Registered():
                self._register(message)
            case Promoted():
                self._promote(message)
            case Activated():
                self.activations[message.stage, message.topic, message.partition] = message
            case DeployedVersion():
                self.deployed[message.stage] = message
        if isinstance(message, (Registered, Promoted, Refused)):
            self._note(message)
            self._remember(message)

    def decide(self, command: Command, *, now: int) -> Sequence[Answer]:
        assert self.inspect is not None, "only the registry's owner decides"
        return decide(self, command, now=now, inspect=self.inspect)

    def ahead(self) -> RegistryState:
        """Without what no decision asks for."""
        return RegistryState(
            ChainMap({}, self.versions),
            ChainMap({}, self.aliases),
            answers=self.answers.ahead(),
            inspect=self.inspect,
        )

    def save(self) -> bytes:
        aliases, activations = self.aliases.values(), self.activations.values()
        return written_image(
            self.versions,
            aliases,
            activations,
            self.answers.saved(),
            self.asked,
            self.refused,
            self.deployed.values(),
        )

    def restore(self, saved: bytes) -> None:
        found = read_image(saved)
        self.versions, self.asked, self.refused = found.versions, found.asked, found.refused
        self.aliases = {(alias.model, alias.alias): alias for alias in found.aliases}
        self.activations = {(a.stage, a.topic, a.partition): a for a in found.activations}
        self.answers = AnswerCache(ANSWERS, found.answers, REMEMBERED)
        self.deployed = {each.stage: each for each in found.deployed}

    def _register(self, event: Registered) -> None:
        have = self.versions.get(event.model, ())
        if event.version != len(have) + 1:
            return
        version = ModelVersion(
            event.model,
            event.version,
            event.digest,
            event.runtime,
            signatures.shared(event.signature),
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

    def _note(self, answer: Answer) -> None:
        """What became of a registration."""
        if answer.causationid in self.answers:
            return
        asked = self.asked.pop(answer.causationid, None)
        if isinstance(answer, Registered):
            self.refused.pop(answer.model, None)
        elif asked is not None and isinstance(answer, Refused) and answer.kind != "exists":
            self.refused[asked.name] = answer.reason

    def _remember(self, answer: Answer) -> None:
        if isinstance(answer, Registered):  # the version has it, and nobody asks the answer: half of all memory here
            answer = msgspec.structs.replace(answer, signature={})
        self.answers.remember(answer.causationid, answer)


def fold(messages: Iterable[Message]) -> RegistryState:
    state = RegistryState()
    for message in messages:
        state.apply(message)
    return state


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
