"""What Penstock did, as functions are called with it and as subscriptions deliver it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from azure.eventgrid import EventGridEvent, SystemEventNames
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from penstock.batch import DEAD, SYSTEM, Batch, Lineage, TopicSpec, Write
from penstock.declare.events import SYSTEM_EVENTS
from penstock.models.messages import Activated, DeployedVersion, Promoted, Registered
from penstock.plan.plan import FunctionSpec
from penstock.runner.interface import Applied, RowFailure
from penstock.schema.egress.render import Format, render
from penstock.schema.egress.rendered import Rendered
from penstock.stages import system_events
from penstock.stages.emit import Emitter
from penstock.stages.failures.dead import DEAD_TOPIC, answered, dead_letter_rows, marks
from penstock.stages.interface import Failure, Work
from penstock.stages.pump import Pump
from penstock.stages.redrive import Redrive, group_of
from penstock.stages.system_events import GRID_SPELLINGS, told
from penstock.stages.transform import Transform
from penstock.system.messages import Disabled, Message, to_rows

REGISTERED = Registered(
    model="risk",
    version=20,
    digest="0a" * 32,
    runtime="onnx",
    signature={"inputs": [], "outputs": []},
    created=1,
    causationid="c",
    dataset_id="march",
    metrics={"mae": 9.5},
)
PROMOTED = Promoted(model="risk", alias="champion", from_version=19, to_version=20, epoch=7, causationid="c")
DEPLOYED = DeployedVersion(stage="scores", topic="payments", model="risk", version=20, alias="champion", epoch=7)
ACTIVATED = Activated(stage="scores", topic="t", partition=0, from_offset=1, model="risk", version=20, epoch=7)
DISABLED = Disabled(
    subscription="partner",
    source="scores",
    endpoint="https://partner.example",
    outcome="Disabled",
    reason="410 Gone",
    at=1,
)
CLOUDEVENTS: tuple[Format, ...] = ("cloudevents", "cloudevents-structured", "cloudevents-batch")


def system(*messages: Message) -> Batch:
    rows, count = to_rows(messages), len(messages)
    parents = pa.array(range(count), pa.int64())
    rows = rows.append_column("_parent_partition", pa.array([0] * count, pa.int32())).append_column("_parent", parents)
    places = np.arange(count, dtype=np.int64)
    return Batch(
        SYSTEM, 0, places + 100, places + 1_700_000_000_000_000, rows, Lineage("penstock.registry", SYSTEM, "")
    )


def letters(topic: str = "payments", envelope: dict[str, list[str]] | None = None) -> pa.RecordBatch:
    """Two dead letters of the stage ``scores``."""
    rows = pa.RecordBatch.from_pydict({"n": [1, 2], **(envelope or {})})
    at = np.array([3, 8], np.int64)
    work = Work(topic, rows, np.array([0, 1], np.int32), at, at)
    failures = [Failure(row, "ValueError", "no number", "Traceback …", 3) for row in (0, 1)]
    rows = dead_letter_rows("scores", work, failures, pa.array(["k", None], pa.string())).rows
    for field in DEAD_TOPIC.schema:  # as the log gives them
        if field.name not in rows.schema.names:
            rows = rows.append_column(field.name, pa.nulls(2, field.type))
    return rows


def dead(rows: pa.RecordBatch) -> Batch:
    count = rows.num_rows
    return Batch(DEAD, 2, np.arange(count, dtype=np.int64) * 3, np.full(count, 1_700_000_000_000_000), rows)


def delivered(batch: Batch, event: str, format: Format) -> list[Rendered]:
    found = told(batch, event, format, "shop", "finance")
    return render(format, found, np.arange(len(found)), TopicSpec(batch.topic), "shop")


def cloudevents(batch: Batch, event: str) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in delivered(batch, event, "cloudevents-structured")]


def grid_events(batch: Batch, event: str) -> list[dict[str, Any]]:
    return [json.loads(each.body)[0] for each in delivered(batch, event, "eventgrid")]


# -- as CloudEvents -----------------------------------------------------------

AS_CLOUDEVENTS: dict[str, tuple[Message, str, dict[str, Any]]] = {
    "penstock.model.registered": (
        REGISTERED,
        "models/risk:20",
        {"model": "risk", "version": 20, "dataset_id": "march", "metrics": {"mae": 9.5}},
    ),
    "penstock.model.promoted": (
        PROMOTED,
        "models/risk:20",
        {"model": "risk", "alias": "champion", "version": 20, "previous": 19, "epoch": 7},
    ),
    "penstock.model.deployed": (
        DEPLOYED,
        "endpoints/scores",
        {"stage": "scores", "topic": "payments", "model": "risk", "version": 20, "alias": "champion", "epoch": 7},
    ),
    "penstock.subscription.disabled": (
        DISABLED,
        "subscriptions/partner",
        {
            "subscription": "partner",
            "source": "scores",
            "endpoint": "https://partner.example",
            "outcome": "Disabled",
            "reason": "410 Gone",
        },
    ),
}


def test_every_class_is_told_of_by_a_message_of_its_type() -> None:
    assert set(SYSTEM_EVENTS) == {*AS_CLOUDEVENTS, "penstock.event.deadlettered"}
    assert {kind.written_in for kind in SYSTEM_EVENTS.values()} == {SYSTEM, DEAD}
    assert {message.TYPE for message, _, _ in AS_CLOUDEVENTS.values()} == set(AS_CLOUDEVENTS)


@pytest.mark.parametrize("event", AS_CLOUDEVENTS)
def test_as_cloudevents_their_data_are_the_fields_of_their_class(event: str) -> None:
    message, subject, data = AS_CLOUDEVENTS[event]
    batch = system(ACTIVATED, message)
    (found,) = cloudevents(batch, event)
    assert found["data"] == data
    assert (found["type"], found["subject"], found["source"]) == (f"dev.{event}", subject, "/shop/penstock.system")
    assert found["id"] == "penstock.registry/penstock.system/0/1/0", "the place in the log tells them apart"
    assert found["time"] == "2023-11-14T22:13:20.000001Z"
    assert told(batch, event, "cloudevents", "shop").positions.tolist() == [101]
    (binary,) = delivered(batch, event, "cloudevents")
    read = from_http_event(HTTPMessage(dict(binary.headers), binary.body))
    assert (read.get_type(), read.get_subject(), read.get_data()) == (f"dev.{event}", subject, data)


def test_what_is_nothing_of_that_type_is_passed_over() -> None:
    assert len(told(system(ACTIVATED, PROMOTED), "penstock.model.registered", "eventgrid", "shop")) == 0
    nothing = Batch(SYSTEM, 0, np.zeros(1, np.int64), np.zeros(1, np.int64), to_rows([PROMOTED]).select(["json"]))
    assert len(told(nothing, "penstock.model.promoted", "cloudevents", "shop")) == 0


# -- as Event Grid's (EG22) ---------------------------------------------------

# Azure's own samples: https://learn.microsoft.com/azure/event-grid/event-schema-machine-learning
REGISTERED_FIELDS = {"ModelName": str, "ModelVersion": int, "ModelTags": dict, "ModelProperties": dict}
DEPLOYED_FIELDS = {
    "ServiceName": str,
    "ServiceComputeType": str,
    "ModelIds": str,
    "ServiceTags": dict,
    "ServiceProperties": dict,
}
OFFICIAL = {
    "penstock.model.registered": (
        SystemEventNames.MachineLearningServicesModelRegisteredEventName,
        "models/risk:20",
        REGISTERED_FIELDS,
    ),
    "penstock.model.deployed": (
        SystemEventNames.MachineLearningServicesModelDeployedEventName,
        "endpoints/scores",
        DEPLOYED_FIELDS,
    ),
}
WORKSPACE = "/subscriptions/penstock/resourceGroups/finance/providers/Microsoft.MachineLearningServices/workspaces/shop"


def check_official(event: str) -> None:
    name, subject, fields = OFFICIAL[event]
    (found,) = grid_events(system(AS_CLOUDEVENTS[event][0]), event)
    assert found["eventType"] == name.value, "another type"
    assert (found["subject"], found["topic"]) == (subject, WORKSPACE)
    assert {name: type(value) for name, value in found["data"].items()} == fields, "other fields"
    assert EventGridEvent.from_json(json.dumps(found)).event_type == name.value


@pytest.mark.parametrize("event", OFFICIAL)
def test_what_azure_machine_learning_knows_is_told_as_it_tells_it(event: str) -> None:
    check_official(event)


def test_all_of_those_that_are_known_there_and_happen_here() -> None:
    official = {name.value for name in SystemEventNames if "MachineLearningServices" in name.value}
    assert len(official) == 5
    assert {spelling.type for spelling in GRID_SPELLINGS.values()} == official - {
        f"Microsoft.MachineLearningServices.{name}"
        for name in ("RunCompleted", "RunStatusChanged", "DatasetDriftDetected")
    }


def test_their_data_say_what_there_is_to_say() -> None:
    (registered,) = grid_events(system(REGISTERED), "penstock.model.registered")
    assert registered["data"] == {
        "ModelName": "risk",
        "ModelVersion": 20,
        "ModelTags": {"mae": 9.5},
        "ModelProperties": {"datasetId": "march"},
    }
    (deployed,) = grid_events(system(DEPLOYED), "penstock.model.deployed")
    assert deployed["data"]["ServiceName"] == "scores" and deployed["data"]["ModelIds"] == "risk:20"


@pytest.mark.parametrize("event", ["penstock.model.promoted", "penstock.subscription.disabled"])
def test_others_keep_their_type_and_data_there(event: str) -> None:
    message, subject, data = AS_CLOUDEVENTS[event]
    (found,) = grid_events(system(message), event)
    assert (found["eventType"], found["data"]) == (f"dev.{event}", data)
    assert (found["subject"], found["topic"]) == (subject, WORKSPACE)


def test_without_a_namespace_the_app_is_its_own_group() -> None:
    assert system_events.workspace("shop").startswith("/subscriptions/penstock/resourceGroups/shop/providers/")


@pytest.mark.parametrize(
    ("event", "mutant", "found"),
    [
        ("penstock.model.registered", {"type": "Microsoft.MachineLearning.ModelRegistered"}, "another type"),
        ("penstock.model.registered", {"data": lambda e: {"modelName": e.model}}, "other fields"),
        ("penstock.model.deployed", {"data": lambda e: {"ModelIds": [f"{e.model}:{e.version}"]}}, "other fields"),
    ],
)
def test_mutant_a_spelling_of_our_own_is_caught(
    event: str, mutant: dict[str, Any], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spelling = GRID_SPELLINGS[event]
    changed = system_events.GridSpelling(mutant.get("type", spelling.type), mutant.get("data", spelling.data))
    monkeypatch.setattr(system_events, "GRID_SPELLINGS", {event: changed})
    with pytest.raises(AssertionError, match=found):
        check_official(event)


# -- dead letters -------------------------------------------------------------

LETTER = {
    "topic": "payments",
    "partition": 0,
    "offset": 3,
    "stage": "scores",
    "error": "ValueError",
    "reason": "no number",
    "attempts": 3,
    "id": "payments/0/3",
    "key": "k",
    "source": None,
    "type": "made",
    "subject": "s",
}
GONE = "penstock.event.deadlettered"


def test_a_dead_letter_is_an_event() -> None:
    batch = dead(letters(envelope={"_type": ["made", "made"], "_subject": ["s", "s"]}))
    first, second = cloudevents(batch, GONE)
    assert first["data"] == LETTER
    assert (first["type"], first["subject"], first["source"]) == (f"dev.{GONE}", "payments/0/3", "/shop/penstock.dead")
    assert (second["data"]["offset"], second["data"]["key"], second["id"]) == (8, None, "penstock.dead/2/3")
    first, _ = grid_events(batch, GONE)
    assert (first["eventType"], first["data"], first["topic"]) == (f"dev.{GONE}", LETTER, WORKSPACE)


def told_of(rows: pa.RecordBatch) -> Sequence[int]:
    return [int(position) for position in told(dead(rows), GONE, "cloudevents", "shop").positions]


def test_what_became_of_a_letter_is_none() -> None:
    rows = letters()
    assert told_of(marks(rows, "redriven")) == told_of(marks(rows, "dropped")) == []
    assert told_of(answered(rows, {1: Failure(1, "ValueError", "again", "", 1)})) == [3], "but one that failed again"


def no_letter_of_a_letter() -> None:
    assert told_of(letters(topic=DEAD)) == [], "whoever fails at a dead letter is called with that again"


def test_a_letter_about_a_letter_is_not_told() -> None:
    no_letter_of_a_letter()


def test_mutant_letters_without_end_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_events, "DEAD", "elsewhere")
    with pytest.raises(AssertionError, match="is called with that again"):
        no_letter_of_a_letter()


def test_a_function_is_called_with_letters(rig: Any) -> None:
    from types import SimpleNamespace

    seen: list[dict[str, Any]] = []

    def apply(stage: str, rows: pa.RecordBatch, timeout: float, services: Any) -> Applied:
        seen.extend(map(json.loads, rows.column("json").to_pylist()))
        return Applied(None, np.zeros(0, np.int64))

    spec = FunctionSpec("mourn", DEAD, None, "event", event=GONE, where="\"offset\" = 8 AND stage = 'scores'")
    runner: Any = SimpleNamespace(apply=apply)
    pump = rig.pump(Transform(spec, None, runner, rig.clock, rig.settings))
    rows = letters()
    rig.log.append([Write(DEAD, 0, rows), Write(DEAD, 0, marks(rows, "redriven").select(DEAD_TOPIC.schema.names))])
    rig.drain(pump)
    assert rig.lag(pump) == 0
    assert seen == [
        LETTER | {"partition": 1, "offset": 8, "id": "payments/1/8", "key": None, "type": None, "subject": None}
    ]


def test_a_letter_that_a_function_failed_at_is_put_back_to_it(rig: Any) -> None:
    from types import SimpleNamespace

    seen: list[str] = []
    failing = True

    def apply(stage: str, rows: pa.RecordBatch, timeout: float, services: Any) -> Applied:
        if failing:
            failures = [RowFailure(row, "Reject", "no telephone", "", rejected=True) for row in range(rows.num_rows)]
            return Applied(None, np.zeros(0, np.int64), failures)
        seen.extend(json.loads(text)["id"] for text in rows.column("json").to_pylist())
        return Applied(None, np.zeros(0, np.int64))

    runner: Any = SimpleNamespace(apply=apply)
    stage = Transform(FunctionSpec("mourn", DEAD, None, "event", event=GONE), None, runner, rig.clock, rig.settings)
    emitter = Emitter(stage.name, DEAD, "code", rig.topics)
    beside = rig.log.reader(group_of(stage.name), [DEAD], "a")
    redrive = Redrive(stage, beside, emitter, rig.log, rig.clock, measure=rig.measure)
    pump = Pump(stage, rig.log.reader(stage.name, [DEAD], "a"), emitter, rig.clock, rows=lambda: 256, redrive=redrive)

    def work() -> None:
        for _ in range(400):
            pump.step(0.0)
            rig.clock.advance(0.25)

    rig.log.append([Write(DEAD, 0, letters())])
    work()
    failed = [batch for batch in rig.read(DEAD) if "mourn" in batch.rows.column("stage").to_pylist()]
    assert sum(batch.rows.column("stage").to_pylist().count("mourn") for batch in failed) == 2 and seen == []
    failing = False
    for batch in failed:
        mine = pc.equal(batch.rows.column("stage"), "mourn")
        rig.log.append([Write(DEAD, batch.partition, marks(batch.rows.filter(mine), "redriven"))])
    work()
    assert sorted(seen) == ["payments/0/3", "payments/1/8"]
