"""How an app's stages are put together, the same for a worker and for a test: only log, runner and clock differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

from ...batch import DEAD, SYSTEM, TopicSpec, Write
from ...clock import Clock
from ...log.interface import Start
from ...models.artifacts import Artifacts
from ...models.messages import Register
from ...models.registry import Registry
from ...plan.plan import FunctionSpec, Plan, ScoreSpec, StageSpec
from ...runner.interface import Runner
from ...settings import Settings
from ...stages.deliver.run_time.rules import put_rules
from ...stages.deliver.run_time.state import RunTimeState
from ...stages.emit import Emitter
from ...stages.failures.in_hand import SIZE_BYTES, InHand, SuspectTurn
from ...stages.inspection import Inspections
from ...stages.interface import Stage
from ...stages.metrics import StageMeasure
from ...stages.model_service import EventServices
from ...stages.pump import Pump
from ...stages.redrive import Redrive, group_of
from ...stages.registry_owner import GROUP, Registrar
from ...stages.score import Score
from ...stages.scoring.deployment import Deployment, Standing
from ...stages.scoring.loading import Background, in_thread
from ...stages.scoring.metrics import load_failed, observed
from ...stages.scoring.slots import Loan, Slots, of_its_own
from ...stages.scoring.versions import AliasVersions
from ...stages.transform import Transform
from ...system.interface import SystemLog
from ...system.messages import to_rows
from ..outliving import OutlivingSlot
from . import warming
from .bootstrap import SYSTEM_TOPIC, all_topics, open_registry
from .lazy_reader import LazyReader, ReaderBeside
from .warming import Preparation, Scorer, Warm

COMMANDS = 256  # of the registry, in one pass

MakeRunner = Callable[[str, bool], Runner]
"""A runner for the stage of that name; with the app's code in it, or for models alone."""


@dataclass(frozen=True, slots=True)
class RunningStage:
    """One stage with what drives it, what makes it ready, and what ends its runners."""

    name: str
    source: str
    pump: Pump
    preparation: Preparation
    close: Callable[[], None]
    standing: Callable[[], Standing] = Standing  # of a scorer: which version it scores with

    def run(self, stop: Event) -> None:
        """Ready first, then a member of the group: nobody waits for what this one holds and cannot yet do. But where
        all wait alike, for a model's first version, the group's place is to be known."""
        self.preparation.run(stop, self.pump.wait_as_member)
        self.pump.run(stop)


@dataclass(slots=True)
class StageLines:
    """Stages over one log, as ``member`` of their groups."""

    plan: Plan
    log: SystemLog
    clock: Clock
    settings: Settings
    member: str
    background: Background = field(default=in_thread, kw_only=True)  # what joins groups that nobody waits for

    def line(
        self,
        stage: Stage,
        close: Callable[[], None],
        warm: Warm,
        rows: Callable[[], int],
        start: Start = "earliest",
        *,
        redrive: Callable[..., Redrive] | None = Redrive,
    ) -> RunningStage:
        """A stage with what drives it. ``close`` ends what it started, ``warm`` makes it ready, ``rows`` says how many
        to read at once. ``redrive``: of what it gave up and is put back; None: that is another's."""
        topics = {topic.name: topic for topic in all_topics(self.plan)}
        join = partial(self.log.reader, stage.name, [stage.source], self.member, start=start)
        reader = join() if start == "latest" else LazyReader(join)  # the latest is where it is now
        emitter = Emitter(stage.name, stage.source, self.plan.code, topics, self.plan.domain_topic_of(stage.name))
        measure = StageMeasure(stage.name, stage.source, self.settings.batch_rows)
        put_back = None
        if redrive is not None:
            beside = ReaderBeside(partial(self.log.reader, group_of(stage.name), [DEAD], self.member), self.background)
            put_back = redrive(stage, beside, emitter, self.log, self.clock, measure=measure)
        pump = Pump(stage, reader, emitter, self.clock, rows=rows, measure=measure, redrive=put_back)
        return RunningStage(stage.name, stage.source, pump, Preparation(stage.name, warm, self.clock), close)


@dataclass(slots=True)
class Composition(StageLines):
    """Every stage of a plan over one log, as ``member`` of their groups. ``background`` also loads next versions."""

    artifacts: Artifacts
    make_runner: MakeRunner
    outliving: int | None = None  # a descriptor: see ``run.outliving``
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    registry: Registry = field(init=False)
    lines: list[RunningStage] = field(init=False)
    scorers: dict[str, Scorer] = field(init=False, default_factory=dict)  # by model: its first stage answers calls
    models: list[warming.WarmVersion] = field(init=False, default_factory=list)
    _turn: SuspectTurn = field(init=False)
    _parts: int = field(init=False, default=0)  # of what outlives the worker, one a stage, in the plan's order

    def __post_init__(self) -> None:
        self._turn = SuspectTurn(self.clock)
        self.registry = open_registry(self.log, self.clock, self.member)
        self.lines = [
            self._registrar(),
            *(BUILDERS[type(spec)](self, spec) for spec in self.plan.stages),
        ]

    def close(self) -> None:
        """After the pumps have ended: they leave their groups themselves."""
        for line in self.lines:
            line.close()
        self.registry.close()

    # -- stages ---------------------------------------------------------------

    def _registrar(self) -> RunningStage:
        inspections = Inspections(self._borrow, self._again, self.background)
        self.registry.view.areas.only(RunTimeState).rules = put_rules(self.plan, self.log, self.settings)
        stage = Registrar(self.plan, self.registry, self.artifacts, inspections, self.clock, self.settings.runner_start)
        warm = warming.Unanswered(self.registry, self._again)
        # It answers commands, and dead-letters none.
        return self.line(stage, inspections.close, warm, lambda: COMMANDS, redrive=None)

    def _borrow(self, command: Register) -> Loan:
        """Of a scorer that has no version yet: it need not start a process of its own beside the one that looks."""
        scorers = (warm.deployment for warm in self.models if warm.model.name == command.name)
        loans = (scorer.lend(command.digest) for scorer in scorers)
        return next((loan for loan in loans if loan is not None), None) or of_its_own(self.make_runner(GROUP, False))

    def _again(self, command: Register) -> None:
        self.log.append([Write(SYSTEM, 0, to_rows([command]))])

    def _function(self, spec: FunctionSpec) -> RunningStage:
        runner = self.make_runner(spec.name, True)
        target = None if spec.to is None else self._topic(spec.to)
        services = EventServices(
            self.log, self.registry, self.artifacts, {m.name: m for m in self.plan.models}, self.environ
        )
        in_hand = self._in_hand(spec.place)
        stage = Transform(spec, target, runner, self.clock, self.settings, services=services, in_hand=in_hand)
        warm = warming.Function(spec.name, runner, spec.timeout, spec.place)
        return self.line(stage, runner.close, warm, stage.budget.cap, spec.start)

    def _scorer(self, spec: ScoreSpec) -> RunningStage:
        model = self.plan.model(spec.model)
        assert model is not None  # else the plan would not have been made
        runners = self.make_runner(spec.name, False), self.make_runner(spec.name, False)
        deployment = Deployment(
            spec.name,
            self.registry,
            self.artifacts,
            Slots(runners, self.clock, rows=self.settings.batch_rows, observe=observed),
            self.clock,
            self.settings,
            failed=load_failed,
            background=self.background,
        )
        stage = Score(
            spec,
            self._topic(spec.to),
            AliasVersions(spec, model, self.registry, deployment),
            self.clock,
            self.settings,
            in_hand=self._in_hand(f"model '{spec.model}'"),
        )
        self.scorers.setdefault(spec.model, stage.answer)
        warm = warming.WarmVersion(model, self.registry, deployment, stage.answer, spec.timeout)
        self.models.append(warm)
        line = self.line(stage, deployment.close, warm, stage.budget.cap, spec.start)
        return replace(line, standing=lambda: deployment.standing)

    def _in_hand(self, place: str) -> InHand | None:
        if self.outliving is None:
            return None
        self._parts += 1
        return InHand(OutlivingSlot.of(self.outliving, self._parts - 1, SIZE_BYTES), self._turn, place)

    def _topic(self, name: str) -> TopicSpec:
        return SYSTEM_TOPIC if name == SYSTEM else self.plan.topic(name)


BUILDERS: dict[type[StageSpec], Callable[[Composition, Any], RunningStage]] = {
    FunctionSpec: Composition._function,
    ScoreSpec: Composition._scorer,
}
"""A row a kind of stage."""
