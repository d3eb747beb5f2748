"""The client against one real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tests.run.server import Server, wait_for, write_app

import penstock
from penstock.client import bodies
from penstock.client.connection import Client
from penstock.errors import BadRequest, Conflict, InvalidEvent, ModelRefused, NotFound

TOPICS = """
from datetime import datetime

notes = app.topic("notes")


@dataclass
class Notable:
    n: int
    kind: str
    at: datetime
    level: float | None
    tags: list[str]


notable = app.topic("notable", Notable)
tx = app.domain("tx", Notable)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("client")
    app = write_app(folder)
    app.write_text(app.read_text() + TOPICS)
    with Server(app, folder / "data") as running, penstock.connect(running.ready().url) as client:
        yield client


@dataclass
class Reading:
    n: int
    x: float


class Struct(msgspec.Struct):
    n: int
    x: float


FRAME = pl.DataFrame({"n": [1, 2, 3], "x": [0.5, 1.5, 2.5]})


@pytest.mark.parametrize(
    "rows",
    [
        FRAME,
        FRAME.to_arrow(),
        FRAME.to_arrow().to_batches()[0],
        FRAME.to_dicts(),
        [Reading(1, 0.5), Reading(2, 1.5), Reading(3, 2.5)],
        [Struct(1, 0.5), Struct(2, 1.5), Struct(3, 2.5)],
    ],
    ids=["frame", "table", "batch", "dicts", "dataclasses", "structs"],
)
def test_rows_of_every_kind_come_back_as_they_were(server: Client, rows: bodies.Rows) -> None:
    before = server.read("readings").height
    spans = server.publish("readings", rows)
    assert sum(span.count for span in spans) == 3 and {span.topic for span in spans} == {"readings"}
    found = server.read("readings")
    assert found.height == before + 3
    assert set(found.select("n", "x").iter_rows()) >= set(FRAME.iter_rows())


def test_pieces_and_progress(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "CHUNK_ROWS", 100)
    told: list[int] = []
    server.publish("readings", pl.DataFrame({"n": range(250), "x": [1.0] * 250}), progress=told.append)
    assert told == [100, 100, 50]


def test_a_bad_row_is_named_by_its_place_among_all(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "CHUNK_ROWS", 10)
    rows: list[dict[str, object]] = [{"n": i, "x": 1.0} for i in range(25)]
    rows[17] = {"n": 17, "x": "high"}
    before = server.read("readings").height
    with pytest.raises(InvalidEvent) as caught:
        server.publish("readings", rows)
    assert (caught.value.row, caught.value.field) == (17, "x")
    assert server.read("readings").height == before + 10  # the piece before it; nothing of its own


@pytest.mark.parametrize(
    "rows",
    [
        [{"n": 1, "x": 0.5}, {"n": 2**64, "x": 0.5}],
        pl.DataFrame({"n": [1, 2**64], "x": [0.5, 0.5]}, schema={"n": pl.Int128, "x": pl.Float64}),
        pl.DataFrame({"n": [1, 2**63], "x": [0.5, 0.5]}, schema={"n": pl.UInt64, "x": pl.Float64}),
        pd.DataFrame({"n": [1, 2**64], "x": [0.5, 0.5]}),
    ],
)
def test_an_integer_beyond_64_bits_is_refused_with_its_place(server: Client, rows: bodies.Rows) -> None:
    with pytest.raises(InvalidEvent) as caught:
        server.publish("readings", rows)
    assert (caught.value.row, caught.value.field) == (1, "n")
    narrow = pl.DataFrame({"n": [1], "x": [0.5]}, schema={"n": pl.Int128, "x": pl.Float64})
    assert server.publish("readings", narrow)[0].count == 1


def test_fields_that_the_topic_lacks_are_told(server: Client) -> None:
    rows = [{"n": i, "x": 0.5, "xx": 1} for i in range(3)]
    for given in (rows, pl.DataFrame(rows), (row for row in rows)):
        done = server.publish("readings", given)
        (told,) = done.ignored
        assert sum(span.count for span in done) == 3
        assert (told["field"], told["count"]) == ("xx", 3) and "did you mean 'x'?" in told["reason"]
    assert server.publish("readings", FRAME).ignored == []


def test_nothing_to_publish(server: Client) -> None:
    assert server.publish("readings", []) == [] and server.publish("readings", FRAME.clear()) == []
    with pytest.raises(NotFound, match="did you mean 'readings'"):
        server.publish("reading", [])


def test_one_event_is_no_columns(server: Client) -> None:
    assert sum(span.count for span in server.publish("readings", {"n": 1, "x": 0.5})) == 1
    with pytest.raises(InvalidEvent, match=r"a dict is one event: give columns as pl\.DataFrame") as caught:
        server.publish("readings", {"n": [1, 2], "x": [0.5, 1.5]})
    assert (caught.value.row, caught.value.field) == (0, "n")


def test_columns_go_to_a_topic_without_a_type_as_json(server: Client) -> None:
    assert sum(span.count for span in server.publish("notes", FRAME)) == 3
    found = [msgspec.json.decode(text) for text in server.read("notes")["json"]]
    assert sorted(found, key=lambda note: note["n"]) == FRAME.to_dicts()
    assert server.publish("notes", {"any": ["thing"]})


def test_what_pandas_has_goes_in_as_the_topic_has_it(server: Client) -> None:
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["warm", "cold"]),
            "at": pd.to_datetime(["2026-06-01 12:00", "2026-06-01 13:00"]).tz_localize("Europe/Berlin"),
            "level": [0.5, float("nan")],
            "tags": [["a"], []],
        },
        index=pd.Index([1, 2], name="n"),
    )
    server.publish("notable", frame)
    found = server.read("notable").sort("n").select("n", "kind", "at", "level", "tags").rows()
    assert found == [
        (1, "warm", datetime(2026, 6, 1, 10, tzinfo=UTC), 0.5, ["a"]),
        (2, "cold", datetime(2026, 6, 1, 11, tzinfo=UTC), None, []),
    ]
    with pytest.raises(InvalidEvent) as caught:
        server.publish("readings", pd.DataFrame({"n": [1, 2], "x": [0.5, None]}))
    assert (caught.value.row, caught.value.field) == (1, "x")  # a missing number is no NaN


def test_scoring_takes_what_publishing_takes(server: Client) -> None:
    wait_for(lambda: server.models() and server.model("double")["scorers"])
    expected = pl.DataFrame({"y": [2.0, 4.0]})
    given = pl.DataFrame({"n": [1, 2], "x": [0.0, 0.0], "z": [1.0, 2.0], "other": ["a", "b"]})
    for rows in (given, given.to_pandas(), given.to_arrow(), given.to_dicts()):
        assert server.infer("double", rows).equals(expected)
    assert server.infer("double", {"n": 1, "x": 0.0, "z": 1.0}).equals(expected[:1])
    nothing: tuple[list[dict[str, object]], pl.DataFrame] = ([], given.clear())
    for none in nothing:
        assert server.infer("double", none).equals(expected.clear())
    with pytest.raises(InvalidEvent, match=r"'n'.*a dict is one event"):
        server.infer("double", {"x": [1.0, 2.0]})
    with pytest.raises(InvalidEvent, match="field 'z'"):  # an error of /v2 is a text
        server.infer("double", {"n": 1, "x": 0.0, "z": "high"})
    with pytest.raises(NotFound):
        server.infer("dubble", given)


def test_reading_pages_and_limits(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.client import reading

    server.publish("readings", pl.DataFrame({"n": range(120), "x": [1.0] * 120}))
    whole = server.read("readings")
    monkeypatch.setattr(reading, "PAGE_ROWS", 50)
    assert server.read("readings").height == whole.height
    assert server.read("readings", limit=70).height == 70 and server.read("readings", limit=0).height == 0
    assert server.read("readings", start=10**9).columns == ["n", "x"]
    places = whole.select("_partition", "_offset")
    assert places.is_unique().all()
    for _, part in places.group_by("_partition"):
        assert part["_offset"].is_sorted()


def test_tail_follows(server: Client) -> None:
    following = server.tail("readings")
    # Its first look is at the end of the topic, so what is published after it is what comes.
    with penstock.connect(server.url) as other:
        later = threading.Timer(0.5, other.publish, ["readings", [{"n": -7, "x": 1.0}]])
        later.start()
        assert next(following)["data"] == {"n": -7, "x": 1.0}
        later.join()
    assert len(list(server.tail("readings", follow=False, start=0))) == server.read("readings").height


def test_models_by_name_and_number(server: Client, tmp_path: Path) -> None:
    wait_for(lambda: server.models())
    assert server.model("double")["versions"][0]["version"] == 1
    (tmp_path / "m.py").write_text("not a model")
    with pytest.raises(ModelRefused):
        server.register_model("double", tmp_path / "m.py")
    with pytest.raises(NotFound):
        server.promote("double", 7)
    with pytest.raises(Conflict):
        server.set_alias("double", "champion", 1, expected=3)
    with pytest.raises(NotFound, match="did you mean"):
        server.model("dubble")
    with pytest.raises(InvalidEvent, match="'z'"):
        server.infer("double", FRAME)
    with pytest.raises(NotFound, match="did you mean 'double'"):
        server.infer("dubble", FRAME)
    scored = server.infer("double", FRAME.with_columns(z=pl.Series([1.0, 2.0, 3.0])))
    assert scored.equals(pl.DataFrame({"y": [2.0, 4.0, 6.0]}))


def test_types_and_readiness(server: Client) -> None:
    assert server.schema("readings").field("n").type == pa.int64()
    wait_for(lambda: server.ready())
    assert server.ready().reasons == [] and server.ready().warnings == []


def test_what_is_not_there(server: Client) -> None:
    with pytest.raises(NotFound, match="did you mean 'readings'"):
        server.publish("reading", FRAME)
    with pytest.raises(NotFound):
        server.read("nothing")


def test_a_domain_is_published_to_and_read_by_its_topics(server: Client) -> None:
    rows = pl.DataFrame(
        {"n": [1, 2, 3], "kind": "k", "at": datetime(2026, 1, 1, tzinfo=UTC), "level": None, "tags": [["t"]] * 3},
        schema_overrides={"level": pl.Float64},
    )
    assert sum(span.count for span in server.publish("tx/acme", rows)) == 3
    server.publish("tx/*", rows.head(2).with_columns(_topic=pl.Series(["acme", "beta"])))
    assert sorted(server.read("tx/acme")["n"]) == [1, 1, 2, 3]
    assert server.read("tx/beta")["_topic"].to_list() == ["beta"] and server.read("tx/none").is_empty()
    assert len(server.read("tx/*")) == 5
    assert {event["domain_topic"] for event in server.tail("tx/acme", follow=False, start=0)} == {"acme"}
    assert [event["data"]["n"] for event in server.last("tx/beta", 5)] == [2]
    assert server.end("tx/acme") == server.end("tx/*")
    assert server.schema("tx/acme").field("n").type == pa.int64()
    assert list(server.domain_topics("tx")) == ["acme", "beta"]
    assert server.domains() == [{"name": "tx", "topics": 2}]
    with pytest.raises(NotFound, match="there is no domain 'other'"):
        list(server.domain_topics("other"))
    with pytest.raises(BadRequest, match="is a domain"):
        server.publish("tx", rows)
    with pytest.raises(InvalidEvent, match="which domain topic"):
        server.publish("tx/*", rows)
