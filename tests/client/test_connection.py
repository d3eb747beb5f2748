"""The client against one real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import polars as pl
import pyarrow as pa
import pytest

import penstock
from penstock.client import bodies
from penstock.client.connection import Client
from penstock.errors import Conflict, InvalidEvent, ModelRefused, NotFound

from ..run.server import Server, wait_for, write_app


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("client")
    with Server(write_app(folder), folder / "data") as running, penstock.connect(running.ready().url) as client:
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


def test_nothing_to_publish(server: Client) -> None:
    assert server.publish("readings", []) == [] and server.publish("readings", FRAME.clear()) == []


def test_reading_pages_and_limits(server: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.client import connection

    server.publish("readings", pl.DataFrame({"n": range(120), "x": [1.0] * 120}))
    whole = server.read("readings")
    monkeypatch.setattr(connection, "PAGE", 50)
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
    assert server.ready().reasons == []


def test_what_is_not_there(server: Client) -> None:
    with pytest.raises(NotFound, match="did you mean 'readings'"):
        server.publish("reading", FRAME)
    with pytest.raises(NotFound):
        server.read("nothing")
