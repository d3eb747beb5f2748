"""The stage that owns the registry: it answers the commands in ``penstock.system`` with events, beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ..batch import SNAPSHOTS, SYSTEM
from ..clock import Clock
from ..errors import ModelRefused, SchemaChanged
from ..models.artifacts import Artifacts
from ..models.interface import Signature
from ..models.messages import Activated, DeployedVersion, Register, Registered
from ..models.registry import Registry
from ..models.signature import fits, offer
from ..notices import notices
from ..plan.plan import Plan, ScoreSpec
from ..runner.interface import Runner
from ..schema.evolution import conform
from ..system.interface import Unfinished
from ..system.messages import Message, Refused, from_rows, to_rows
from ..system.owner import answer, snapshot
from .inspection import Inspections
from .interface import Outcome, Output, Work

GROUP = "penstock.registry"


class Registrar:
    """One owner, because the topic has one partition; a second one is fenced and its answers are never stored.

    What it decides on is the log up to its last commit, which holds all of its own earlier answers; those of the work
    in hand are counted in while deciding. So a command read twice is answered once, and versions have no holes.
    Artifacts are looked at beside it (``inspection``): nothing else waits for a model that takes long to load.
    """

    def __init__(
        self,
        plan: Plan,
        registry: Registry,
        artifacts: Artifacts,
        inspections: Inspections,
        clock: Clock,
        load_time: float,
    ) -> None:
        self.name, self.source = GROUP, SYSTEM
        self._plan = plan
        self._registry = registry
        self._artifacts = artifacts
        self._inspections = inspections
        self._clock = clock
        self._load_time = load_time  # seconds that loading an artifact once may take, as in a scorer
        registry.state.inspect = self._inspect

    def handle(self, work: Work) -> Outcome:
        self._registry.refresh()
        view, outputs = self._registry.view, list[Output]()
        events, parents = answer(view.areas, work.rows, now=self._clock.now())
        if events:
            self._tell(work.rows.take(pa.array(parents)), events)
            outputs.append(Output(SYSTEM, to_rows(events), np.array(parents, np.int64)))
        if deployed := self._deployments(work.rows):
            outputs.append(Output(SYSTEM, to_rows(list(deployed.values())), np.array(list(deployed), np.int64)))
        if view.is_snapshot_due():  # without what is answered just now: that lies behind the position it covers
            parts, told = snapshot(view)
            outputs += [Output(SNAPSHOTS, parts, None), Output(SYSTEM, told, None)]
        return Outcome(outputs)

    def _deployments(self, rows: pa.RecordBatch) -> dict[int, DeployedVersion]:
        """Which of these rows is the first to activate a version in a stage, and what is told of it.

        Every partition of a stage is activated for itself, by whichever worker has it. What was told before is known
        from the log, so a row that is read twice is told of once.
        """
        found: dict[int, DeployedVersion] = {}
        last: dict[str, DeployedVersion | None] = {}
        for row, message in from_rows(rows, {Activated.TYPE: Activated}):
            assert isinstance(message, Activated)
            before = last.get(message.stage) or self._registry.deployed(message.stage)
            if before is None or _is_later(message, before):
                told = {name: getattr(message, name) for name in DeployedVersion.__struct_fields__}
                found[row] = last[message.stage] = DeployedVersion(**told)
        return found

    def _tell(self, asked: pa.RecordBatch, given: Sequence[Message]) -> None:
        """Whom a start asked for and who was refused: nobody waits for that answer, so it is told here."""
        kinds = self._registry.view.areas.kinds
        for (_, command), event in zip(from_rows(asked, kinds), given, strict=True):
            if isinstance(event, Registered):
                notices().settle(f"registration/{event.model}")
            elif isinstance(event, Refused) and isinstance(command, Register) and command.is_seed:
                declared = self._plan.model(command.name)
                if event.kind != "exists" and declared is not None:
                    reason = f"the file of model '{command.name}' was refused: {event.reason}"
                    mend = "mend it and start again"
                    notices().tell(f"registration/{command.name}", reason, place=declared.place, mend=mend)

    def _inspect(self, command: Register) -> tuple[str, Signature]:
        """Load the artifact once, in a runner, and see that every scorer of the model can use it.

        Raises ``Unfinished``, ``ModelRefused``, ``ArtifactDamaged``, ``NotFound`` or ``StoreError``.
        """
        path = self._artifacts.checked(command.digest, model=command.name)
        declared = self._plan.model(command.name)
        outputs = list(command.outputs or (declared.outputs if declared else ()))
        inputs = command.inputs or (declared.inputs if declared else None)
        columns = offer(self._offered(command.name), inputs)

        def look(runner: Runner) -> tuple[str, Signature]:
            return runner.inspect(
                path,
                name=command.name,
                inputs=columns,
                outputs=outputs,
                trusted=command.trusted,
                timeout=self._load_time,
            )

        found = self._inspections.result(command, look)
        if found is None:
            raise Unfinished
        self._check(command.name, found[1])
        return found

    def _sources(self, model: str) -> Sequence[pa.Schema]:
        """The types of the topics that the model scores."""
        return [self._plan.topic(s.source).schema for s in self._plan.of_kind(ScoreSpec) if s.model == model]

    def _offered(self, model: str) -> pa.Schema | None:
        """The columns that all of its sources have, in the order of the first."""
        sources = self._sources(model)
        if not sources:
            return None
        return pa.schema([f for f in sources[0] if all(f.name in other.names for other in sources[1:])])

    def _check(self, model: str, signature: Signature) -> None:
        """Raises ``ModelRefused`` for a scorer that would have to stop at this version."""
        for source in self._sources(model):
            fits(signature, source)
        for scorer in self._plan.of_kind(ScoreSpec):
            if scorer.model != model:
                continue
            target = self._plan.topic(scorer.to).schema
            source = self._plan.topic(scorer.source).schema
            kept = [source.field(name) for name in scorer.keep if name in source.names]
            made = pa.schema([*kept, *signature.outputs])
            try:
                conform(_no_rows(made), target)
            except SchemaChanged as error:
                raise ModelRefused(f"scorer '{scorer.name}' writes to topic '{scorer.to}': {error}") from error


def _is_later(message: Activated, before: DeployedVersion) -> bool:
    """Epochs are those of one alias; a stage that has come to follow another begins anew."""
    follows = (message.topic, message.model, message.alias)
    return follows != (before.topic, before.model, before.alias) or message.epoch > before.epoch


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array([], f.type) for f in schema], schema=schema)
