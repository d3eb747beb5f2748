"""Which domain topic each event says, beside a plain reading of one event at a time; and what is said of those that say
none that can be."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.gateway.doors.domains import Tx

from penstock.batch import TopicSpec, column
from penstock.clock import ManualClock
from penstock.errors import InvalidEvent
from penstock.gateway import domains
from penstock.gateway.domains import addressed, topics_of
from penstock.gateway.incoming import DecodedBody
from penstock.log.memory import MemoryLog
from penstock.schema.cloudevents import decode_events, decode_pieces
from penstock.schema.types import schema_of
from penstock.settings import Settings
from penstock.stages.emit import with_columns
from penstock.stages.ingest import intake as intakes
from penstock.stages.ingest.intake import Intake
from penstock.stages.interface import concat_promote


def intake_of(spec: TopicSpec, **limits: Any) -> Intake:
    return Intake(spec, MemoryLog(), Settings(**limits), ManualClock())


LOOSE = intake_of(TopicSpec("loose", domain=True))
TYPED = intake_of(TopicSpec("tx", schema_of(Tx), domain=True))

# -- untyped events -----------------------------------------------------------

NAMES = st.sampled_from(["_topic", "\\u005ftopic", "_t\\u006Fpic", "topic", "_topics", "\\\\u005ftopic", 'a\\"_topic'])
SCALARS = st.sampled_from(
    ["null", "true", "7", "-1.5e3", '""', '"_topic"', r'"{\"_topic\":\"x\"}"', '"é\\u00e9"', "9" * 400]
)
TOPICS = st.sampled_from(['"acme"', '"be\\u0074a"', '"g.1-x"', "null"])


def objects(of: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """As text, for a name may come twice in one."""
    members = st.lists(st.tuples(NAMES, of), max_size=4)
    return members.map(lambda found: "{" + ", ".join(f'"{name}" : {value}' for name, value in found) + "}")


ANY = st.recursive(
    SCALARS | TOPICS,
    lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda found: f"[{', '.join(found)}]"),
    max_leaves=6,
)
EVENTS = objects(TOPICS | ANY) | ANY
ADDRESSED = objects(TOPICS)


def member_of(event: str) -> tuple[bool, str | None]:
    """Is any member ``_topic`` neither a text nor null? And the last one."""
    members = json.loads(event, object_pairs_hook=lambda pairs: ("object", pairs))
    found = [v for k, v in members[1] if k == "_topic"] if isinstance(members, tuple) else []
    return any(not isinstance(topic, str | None) for topic in found), found[-1] if found else None


def said_by(events: list[str]) -> list[str | None]:
    """One after the other. Raises ``InvalidEvent`` as ``addressed`` has to."""
    found = [member_of(event) for event in events]
    for row, (is_wrong, _) in enumerate(found):
        if is_wrong:
            raise InvalidEvent("the name of a domain topic is a text", row=row, field="_topic")
    return [topic for _, topic in found]


def outcome(work: Any) -> Any:
    try:
        return work()
    except InvalidEvent as error:
        return error.row, error.field, error.reason


def check_what_events_say(events: list[str]) -> None:
    rows = LOOSE.columns(LOOSE.decoder.decode(f"[{','.join(events)}]".encode()), None)
    found = outcome(lambda: domains._said(rows).to_pylist())
    assert found == outcome(lambda: said_by(events)), "an event is of another topic than it says"


@given(st.lists(EVENTS, max_size=8))
@settings(max_examples=80, deadline=None)
@example(['"_topic"', '{"_topic":"acme"}', "7", '{"a":{"_topic":"x"}}'])
@example(['{"_topic":"a","_topic":"b"}', r'{"\u005ftopic":"c"}', '[{"_topic":"d"}]'])
@example(['{"b":1}', '{"_topic":"a"}', '{"_topic":["a"]}', '{"_topic":7}'])
@example(['{"_topic":7,"_topic":"a"}'])
def test_any_json_says_its_topic_by_its_own_member_alone(events: list[str]) -> None:
    check_what_events_say(events)


def test_mutant_that_forgets_who_is_no_object_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(events: pa.Array, whole: Any = domains._members) -> pa.Array:
        found = whole(events).drop_null()
        return pa.array([*found.to_pylist(), *[None] * (len(events) - len(found))], pa.string())

    monkeypatch.setattr(domains, "_members", packed)
    with pytest.raises(AssertionError, match="another topic than it says"):
        check_what_events_say(["7", '{"_topic":"acme"}'])


@given(st.lists(ADDRESSED, min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_what_an_address_names_is_refused_of_another(events: list[str]) -> None:
    body = DecodedBody(LOOSE.decoder.decode(f"[{','.join(events)}]".encode()))
    said = [member_of(event)[1] for event in events]
    other = [row for row, topic in enumerate(said) if topic not in (None, "acme")]
    found = outcome(lambda: addressed(LOOSE, body, "acme").column("_topic").to_pylist())
    assert found[:2] == (other[0], "_topic") if other else found == ["acme"] * len(events)


@pytest.mark.parametrize(
    ("events", "row", "reason"),
    [
        (["7", '{"_topic":"a"}'], 0, "which domain topic"),
        (['{"_topic":"a"}', '{"_topic":null}'], 1, "which domain topic"),
        (['{"_topic":"a"}', '{"_topic":"b"}', '{"_topic":"a/b"}', '{"_topic":""}'], 2, "a domain topic has a name"),
        (['{"_topic":"a"}', '{"_topic":{}}'], 1, "is a text"),
        (['{"_topic":"a"}', '{"_topic":' + "9" * 4_000 + "}"], 1, "is a text"),
        (['{"_topic":"a"}', '{"_topic":' + "[" * 60 + "]" * 60 + "}"], 1, "is a text"),
        (['{"_topic":"a"}', r'{"_topic":"\udc00"}'], 1, "surrogate"),
        (['{"_topic":"a"}', r'{"x":"\ud800","_topic":"a"}'], 1, "surrogate"),
    ],
)
def test_the_first_event_at_fault_is_named(events: list[str], row: int, reason: str) -> None:
    with pytest.raises(InvalidEvent, match=reason) as refused:
        addressed(LOOSE, DecodedBody(LOOSE.decoder.decode(f"[{','.join(events)}]".encode())), None)
    assert refused.value.row == row


def test_nesting_that_is_too_deep_for_the_second_look_is_a_refusal_too() -> None:
    """Where the limit of levels is set so high that only the stack is one."""
    deep = '{"_topic":"a","x":' + "[" * 5_000 + "]" * 5_000 + "}"
    rows = pa.RecordBatch.from_arrays([pa.array(['{"_topic":"a"}', deep])], schema=LOOSE.spec.schema)
    with pytest.raises(InvalidEvent, match="nested too deep") as refused:
        addressed(LOOSE, DecodedBody(rows), None)
    assert refused.value.row == 1


# -- what is around them ------------------------------------------------------

EXTENSIONS = st.dictionaries(
    st.sampled_from(["traceparent", "a", "b", "domaintopic2"]),
    st.sampled_from(["x", 7, True, 'a"b', '"domaintopic":"x"', "domaintopic"]),
    max_size=3,
)
SAID: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [{}, {"domaintopic": "acme"}, {"domaintopic": "beta"}, {"domaintopic": None}, {"domaintopic": 7}]
)
AROUND = st.tuples(SAID, EXTENSIONS, st.booleans()).map(
    lambda parts: dict(reversed([*parts[0].items(), *parts[1].items()]) if parts[2] else parts[0] | parts[1])
)
INSIDE = st.sampled_from([{}, {"_topic": "acme"}, {"_topic": "gamma"}, {"_topic": None}])


def cloud_events(parts: list[tuple[dict[str, Any], dict[str, Any]]]) -> bytes:
    required = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    events = [required | around | {"data": {"id": "1", "amount": 1} | inside} for around, inside in parts]
    return json.dumps(events).encode()


@pytest.mark.parametrize("intake", [LOOSE, TYPED], ids=["untyped", "typed"])
@given(st.lists(st.tuples(AROUND, INSIDE), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_a_cloud_event_says_it_around_the_data_or_in_them(
    intake: Intake, parts: list[tuple[dict[str, Any], dict[str, Any]]]
) -> None:
    body = cloud_events(parts)

    def read() -> Any:
        rows = addressed(intake, DecodedBody(*decode_events(body, intake.decoder, many=True)), "acme")
        others = column(rows, "_extensions").to_pylist()
        return topics_of(rows), [{} if text is None else json.loads(text) for text in others]

    wrong = next((row for row, (around, _) in enumerate(parts) if around.get("domaintopic") == 7), None)
    said = [around.get("domaintopic") or inside.get("_topic") for around, inside in parts]
    foreign = next((row for row, topic in enumerate(said) if topic not in (None, "acme")), None)
    found = outcome(read)
    if wrong is not None:
        assert found == (wrong, "domaintopic", "the name of a domain topic is a text")
    elif foreign is not None:
        assert found[:2] == (foreign, "_topic")
    else:
        others = [{k: v for k, v in around.items() if k != "domaintopic"} for around, _ in parts]
        assert found == (["acme"], others)


def test_the_row_of_a_large_body_is_that_of_the_whole() -> None:
    body = cloud_events([({"domaintopic": "acme"}, {})] * 200 + [({"domaintopic": 7}, {})])
    with pytest.raises(InvalidEvent) as refused:
        list(decode_pieces([body], LOOSE.decoder, 1 << 20, many=True))
    assert (refused.value.row, refused.value.field) == (200, "domaintopic")


def check_the_parts_of_a_large_body(intake: Intake) -> None:
    ways: list[tuple[dict[str, Any], dict[str, Any]]] = [({}, {"_topic": "a"}), ({"domaintopic": "b"}, {"_topic": "c"})]
    pieces = decode_pieces(
        [cloud_events([ways[row // 500 % 2] for row in range(2_000)])], intake.decoder, 1 << 20, many=True
    )
    batches = [intake.columns(*piece) for piece in pieces]
    assert len(batches) > 2
    rows = addressed(intake, DecodedBody(concat_promote(batches)), None)
    said = pa.array(["ab"[row // 500 % 2] for row in range(2_000)])
    # Of what differs one event is shown: a text of all that does takes minutes to make.
    wrong = pc.index(pc.equal(rows.column("_topic"), said), False).as_py()
    assert wrong == -1, "an event is of another topic than it says"
    assert column(rows, "_extensions").null_count == 2_000


@pytest.mark.parametrize("intake", [LOOSE, TYPED], ids=["untyped", "typed"])
def test_the_parts_of_a_large_body_say_it_each_in_its_own_way(intake: Intake) -> None:
    check_the_parts_of_a_large_body(intake)


def test_mutant_that_reads_the_data_before_what_is_around_them_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(rows: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
        return with_columns(rows, {n: c for n, c in columns.items() if n != "_topic" or n not in rows.schema.names})

    monkeypatch.setattr(intakes, "with_columns", kept)
    with pytest.raises(AssertionError, match="another topic than it says"):
        check_the_parts_of_a_large_body(TYPED)


def test_out_of_a_domain_the_extension_is_one_like_the_others() -> None:
    plain = intake_of(TopicSpec("plain"))
    _, around = decode_events(cloud_events([({"domaintopic": 7}, {})]), plain.decoder, many=True)
    assert around["_extensions"] == ['{"domaintopic":7}'] and "_topic" not in around
