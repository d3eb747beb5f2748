"""The examples of /docs: events that the app's own topics accept, and names that it has."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from penstock.batch import TopicSpec
from penstock.gateway.docs.samples import Samples, sample
from penstock.plan.plan import FunctionSpec, ModelSpec, Plan
from penstock.schema.decode import Decoder
from penstock.schema.types import schema_of


@dataclass
class Place:
    name: str
    north: float


@dataclass
class Everything:
    n: int
    above: Annotated[int, Meta(gt=10)]
    within: Annotated[float, Meta(ge=-2, le=-1)]
    ok: bool
    text: str
    code: Annotated[str, Meta(min_length=6, max_length=6)]
    short: Annotated[str, Meta(max_length=2)]
    kind: Literal["it's", "b"]
    raw: bytes
    at: datetime
    day: date
    place: Place
    places: list[Place]
    some: Annotated[list[int], Meta(min_length=2)]
    perhaps: int | None
    given: str = "default"
    more: list[str] = field(default_factory=list)


EVERYTHING = TopicSpec("everything", schema_of(Everything), key="text")


def test_a_sample_is_accepted_by_its_topic() -> None:
    event = sample(EVERYTHING)
    assert list(event) == EVERYTHING.schema.names
    assert len(Decoder(EVERYTHING.schema).decode(msgspec.json.encode(event))) == 1
    anything = TopicSpec("anything")
    assert len(Decoder(anything.schema).decode(msgspec.json.encode(sample(anything)))) == 1


def test_the_look_at_samples_notices_one_that_breaks_a_rule() -> None:
    event = sample(EVERYTHING) | {"above": 10}
    with pytest.raises(Exception, match="above"):
        Decoder(EVERYTHING.schema).decode(msgspec.json.encode(event))


def test_examples_name_what_the_app_has() -> None:
    topics = (EVERYTHING, TopicSpec("middle"), TopicSpec("end"))
    hops = (FunctionSpec("a", "everything", "middle", "event"), FunctionSpec("b", "middle", "end", "event"))
    plan = Plan("app", "", "", topics, hops, models=(ModelSpec("price", ("y",), inputs=("x", "z")),))
    samples = Samples(plan)
    assert samples.command("$topic $target $model") == "everything end price"
    (typed,) = shlex.split(samples.command("$event"))
    assert msgspec.json.decode(typed) == sample(EVERYTHING)
    assert [i["name"] for i in msgspec.json.decode(samples.answer("$inputs"))["inputs"]] == ["x", "z"]
    assert samples.command("$$host/$topic") == "$host/everything"


def test_an_app_of_nothing_has_examples_too() -> None:
    assert Samples(Plan("app", "", "", ())).command("$topic $model") == "TOPIC MODEL"
