"""The registry of models as any process sees it: questions to a view of ``penstock.system``.

Changes are commands appended to that topic (``messages``); the stage that owns it answers them (``system.owner``).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Conflict, ModelRefused, NotFound, PenstockError
from ..system.messages import Message, Refused
from ..system.view import View
from .decide import RegistryState
from .interface import Alias, ModelVersion
from .messages import CHAMPION, Activated, DeployedVersion, Promoted, Register, Registered

POLL_S = 0.005  # seconds between two looks for an answer


class Registry:
    """For many threads. What a look-up answers is as of the last ``refresh``."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.state = view.areas.only(RegistryState)
        self._clock = view.clock

    def refresh(self) -> None:
        """See ``View.refresh``."""
        self.view.refresh()

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
        return self.state.versions[name][points.version - 1]

    def alias(self, name: str, alias: str = CHAMPION) -> Alias | None:
        return self.state.aliases.get((name, alias))

    def aliases(self, name: str) -> Sequence[Alias]:
        with self.view.lock:
            return [a for (model, _), a in self.state.aliases.items() if model == name]

    def models(self) -> Sequence[str]:
        with self.view.lock:
            return sorted(self.state.versions)

    def versions(self, name: str) -> Sequence[ModelVersion]:
        """Version n at place n - 1; empty for a model that has none."""
        return self.state.versions.get(name, ())

    def asked(self, name: str) -> bool:
        """Does a registration of this model wait for its answer?"""
        return any(command.name == name for command in self.unanswered())

    def uses(self, digest: str) -> bool:
        """Has a version this artifact, or may one yet: does a registration of it wait for its answer?"""
        with self.view.lock:
            known = any(version.digest == digest for each in self.state.versions.values() for version in each)
            return known or any(command.digest == digest for command in self.state.asked.values())

    def unanswered(self) -> Sequence[Register]:
        """The registrations that wait for their answer."""
        with self.view.lock:
            return list(self.state.asked.values())

    def refused(self, name: str) -> str:
        """Why the last registration of this model was refused; empty when it was not."""
        return self.state.refused.get(name, "")

    def activation(self, stage: str, topic: str, partition: int) -> Activated | None:
        """What this stage last said it scores that partition with."""
        return self.state.activations.get((stage, topic, partition))

    def deployed(self, stage: str) -> DeployedVersion | None:
        """What this stage was last said to have begun to score with."""
        return self.state.deployed.get(stage)

    def wait_for(self, command: str, timeout: float) -> Registered | Promoted:
        """Wait for the answer to the command of this id.

        Raises what it was refused with (``Conflict``, ``NotFound``, ``ModelRefused``), or ``TimeoutError`` after
        ``timeout`` seconds: the command may be applied yet, and asking again with its id is harmless.
        """
        deadline = self._clock.monotonic() + timeout
        while True:
            self.refresh()
            if given := self.state.answers.get(command):
                return outcome(given)
            if self._clock.monotonic() >= deadline:
                raise TimeoutError(f"the registry has not answered command {command} within {timeout:g} s")
            self._clock.sleep(POLL_S)

    def close(self) -> None:
        self.view.close()

    def _numbered(self, name: str, number: str) -> ModelVersion:
        versions = self.versions(name)
        if number.isdecimal() and 1 <= int(number) <= len(versions):
            return versions[int(number) - 1]
        have = f"its versions are 1 to {len(versions)}" if versions else "there is no model of that name"
        raise NotFound(f"no version {name}/{number}: {have}")


def outcome(given: Sequence[Message]) -> Registered | Promoted:
    """The event that grants a command, or the error that it was refused with."""
    first = given[0]
    if not isinstance(first, Refused):
        assert isinstance(first, Registered | Promoted)
        return first
    kinds: dict[str, type[PenstockError]] = {"conflict": Conflict, "exists": Conflict, "not-found": NotFound}
    raise kinds.get(first.kind, ModelRefused)(first.reason)
