"""Models over HTTP, with the real registry's rules answering from the system topic."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.memory import traced

from penstock.batch import SYSTEM, Write
from penstock.errors import ArtifactDamaged, LogFull, StoreUnreachable, StoreUnusable
from penstock.gateway.wire import tensors
from penstock.models.interface import Signature
from penstock.models.messages import MESSAGES, MoveAlias, Promoted, Register, Registered
from penstock.models.signature import to_json
from penstock.settings import Settings
from penstock.system.messages import Refused, by_type, from_rows, to_rows

SIGNATURE = Signature(pa.schema([("a", pa.float32()), ("b", pa.float32())]), pa.schema([("y", pa.float32())]))


async def owner(log: Any) -> None:
    """Answers commands: a small owner of the registry that takes any artifact but ``bad``."""
    reader = log.reader(None, [SYSTEM], "owner")
    versions: dict[str, int] = {}
    champion: dict[str, int] = {}
    epoch = 0
    while True:
        for batch in reader.read(100, 0):
            for _, command in from_rows(batch.rows, by_type(MESSAGES)):
                answers: list[Any] = []
                if isinstance(command, Register) and command.dataset_id == "bad":
                    answers = [Refused(kind="refused", reason="not an ONNX file", causationid=command.id)]
                elif isinstance(command, Register):
                    number = versions[command.name] = versions.get(command.name, 0) + 1
                    answers = [
                        Registered(model=command.name, version=number, digest=command.digest, runtime="onnx", created=1,
                                   signature=to_json(SIGNATURE), causationid=command.id, metrics=command.metrics,
                                   trusted=command.trusted, dataset_id=command.dataset_id)
                    ]  # fmt: skip
                    if number == 1:
                        epoch, champion[command.name] = epoch + 1, 1
                        answers.append(Promoted(model=command.name, alias="champion", from_version=None, to_version=1,
                                                epoch=epoch, causationid=command.id))  # fmt: skip
                elif isinstance(command, MoveAlias) and command.expected not in (None, champion.get(command.model)):
                    answers = [Refused(kind="conflict", reason="champion is at another", causationid=command.id)]
                elif isinstance(command, MoveAlias) and command.version > versions.get(command.model, 0):
                    answers = [Refused(kind="not-found", reason="no such version", causationid=command.id)]
                elif isinstance(command, MoveAlias) and command.alias != "champion":
                    answers = [Promoted(model=command.model, alias=command.alias, from_version=None,
                                        to_version=command.version, epoch=1, causationid=command.id)]  # fmt: skip
                elif isinstance(command, MoveAlias):
                    epoch += 1
                    answers = [Promoted(model=command.model, alias=command.alias, from_version=champion[command.model],
                                        to_version=command.version, epoch=epoch, causationid=command.id)]  # fmt: skip
                    champion[command.model] = command.version
                if answers:
                    log.append([Write(SYSTEM, 0, to_rows(answers))])
        await asyncio.sleep(0.002)


def run(house: Any, work: Any, **options: Any) -> None:
    @asynccontextmanager
    async def owned() -> Any:
        async with house(**options) as h:
            task = asyncio.create_task(owner(h.log))
            try:
                yield h
            finally:
                task.cancel()

    async def go() -> None:
        async with owned() as h:
            await work(h)

    asyncio.run(go())


async def register(h: Any, query: str = "", body: bytes = b"model bytes") -> Any:
    return await h.http.post(f"/models/delay/versions{query}", content=body)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnreachable("s3://models does not answer"), 503, "store_unreachable"),
        (StoreUnusable("there is no bucket s3://models"), 502, "store_unusable"),
        (ArtifactDamaged("s3://models/sha256/ab has other bytes"), 502, "artifact_damaged"),
        (LogFull("no space left"), 507, "log_full"),
    ],
)
def test_what_is_not_stored_is_not_registered(
    house: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, code: str
) -> None:
    def fails(source: Any) -> str:
        raise error

    async def work(h: Any) -> None:
        with monkeypatch.context() as planted:
            planted.setattr(h.services.artifacts, "store", fails)
            refused = await register(h)
        assert refused.status_code == status
        assert refused.json()["error"] == {"code": code, "message": str(error)}
        assert ("retry-after" in refused.headers) == (status == 503)
        assert (await h.http.get("/models")).json() == []
        assert (await register(h)).json()["version"] == 1

    run(house, work)


def test_register_promote_and_look(house: Any) -> None:
    async def work(h: Any) -> None:
        first = await register(h, '?metrics={"mae":9.5}&dataset_id=d1')
        assert first.status_code == 201, first.text
        assert first.json()["version"] == 1
        assert (await register(h, body=b"other bytes")).json()["version"] == 2
        said = await h.http.post("/models/delay/promote", json={"version": 2, "expected": 1})
        assert said.json() == {"model": "delay", "alias": "champion", "version": 2, "from": 1, "epoch": 2}
        (listed,) = (await h.http.get("/models")).json()
        assert listed["versions"] == [1, 2] and listed["aliases"]["champion"]["version"] == 2
        full = (await h.http.get("/models/delay")).json()
        assert full["versions"][0]["metrics"] == {"mae": 9.5}
        assert full["versions"][0]["digest"] == first.json()["digest"]
        assert h.services.artifacts.path(first.json()["digest"], model="m").read_bytes() == b"model bytes"
        assert full["scorers"] == []
        stages = {"score": {"version": "delay/1", "behind": "delay/2 is being loaded"}, "prepare": {"version": ""}}
        (h.services.status / "worker-1.json").write_text(json.dumps({"role": "worker-1", "stages": stages}))
        (scorer,) = (await h.http.get("/models/delay")).json()["scorers"]
        assert scorer == {"process": "worker-1", "stage": "score", "version": 1, "behind": "delay/2 is being loaded"}

    run(house, work)


@pytest.mark.parametrize(
    "shown", [None, "Bearer", "Bearer " + "0" * 64, "Basic {secret}", "{secret}", "Bearer {secret}x"]
)
def test_code_is_taken_with_the_secret_only(house: Any, shown: str | None) -> None:
    async def work(h: Any) -> None:
        path, headers = "/models/delay/versions?trust=sha256:x", {}
        if shown is not None:
            headers["authorization"] = shown.replace("{secret}", h.secret)
        for query in ("", "&trust=", "&alias=champion"):
            refused = await h.http.post(path + query, content=b"import os", headers=headers)
            assert refused.status_code == 403, "code was taken of somebody who showed no secret"
            assert str(h.services.token) in refused.text and h.secret not in refused.text
        assert h.count() == 0 and list(h.services.artifacts.digests()) == []
        taken = await h.http.post(path, content=b"import os", headers={"authorization": f"Bearer {h.secret}"})
        assert taken.status_code == 201

    run(house, work)


def test_a_secret_that_others_know_opens_nothing(house: Any) -> None:
    async def work(h: Any) -> None:
        h.services.token.chmod(0o644)
        shown = {"authorization": f"Bearer {h.secret}"}
        refused = await h.http.post("/models/delay/versions?trust=sha256:x", content=b"import os", headers=shown)
        assert refused.status_code == 403 and "open to others" in refused.text
        assert h.count() == 0

    run(house, work)


async def two_versions(h: Any) -> None:
    await register(h)
    await register(h, body=b"other bytes")
    await h.http.post("/models/delay/promote", json={"version": 2})


def test_a_roll_back_goes_to_the_version_before(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h)
        none = await h.http.post("/models/delay/rollback")
        assert (none.status_code, none.json()["error"]["code"]) == (409, "conflict")
        assert "there is none to go back to" in none.text
        await register(h, body=b"other bytes")
        for version in (2, 2):  # the second moves nothing, and is no version before
            await h.http.post("/models/delay/promote", json={"version": version})
        said = (await h.http.post("/models/delay/rollback")).json()
        assert said == {"model": "delay", "alias": "champion", "version": 1, "from": 2, "epoch": 4}
        assert (await h.http.post("/models/delay/rollback", json={"alias": "champion"})).json()["version"] == 2
        unknown = await h.http.post("/models/delay/rollback", json={"alias": "champio"})
        assert unknown.status_code == 404 and "did you mean 'champion'" in unknown.text
        assert (await h.http.post("/models/dleay/rollback")).status_code == 404
        assert (await h.http.post("/models/delay/rollback", json={"to": 1})).status_code == 400

    run(house, work)


def test_a_roll_back_that_is_overtaken_changes_nothing(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at where the alias is and the move somebody else promotes."""

    async def work(h: Any) -> None:
        await two_versions(h)
        await register(h, body=b"third")
        append = h.log.append

        def overtaken(writes: Any) -> Any:
            monkeypatch.setattr(h.log, "append", append)
            move = MoveAlias(id="other", model="delay", alias="champion", version=3)
            append([Write(SYSTEM, 0, to_rows([move]))])
            return append(writes)

        monkeypatch.setattr(h.log, "append", overtaken)
        assert (await h.http.post("/models/delay/rollback")).status_code == 409
        (listed,) = (await h.http.get("/models")).json()
        assert listed["aliases"]["champion"]["version"] == 3

    run(house, work)


def scoring(h: Any, **versions: str) -> None:
    """What each worker says it scores with."""
    for worker, version in versions.items():
        stages = {"score": {"version": version, "behind": f"{version} goes on"}}
        (h.services.status / f"{worker}.json").write_text(json.dumps({"role": worker, "stages": stages}))


def test_a_promotion_waits_until_all_score_with_it(house: Any) -> None:
    async def work(h: Any) -> None:
        await two_versions(h)
        scoring(h, one="delay/2", two="delay/2")

        async def later() -> None:
            await asyncio.sleep(0.2)
            scoring(h, one="delay/1")
            await asyncio.sleep(0.2)
            scoring(h, two="delay/1")

        asking = asyncio.create_task(h.http.post("/models/delay/promote?wait=20s", json={"version": 1}))
        await later()
        said = (await asking).json()
        assert (said["version"], said["complete"], said["waiting"]) == (1, True, [])

    run(house, work)


def test_who_has_not_swapped_in_time_is_named(house: Any) -> None:
    async def work(h: Any) -> None:
        await two_versions(h)
        scoring(h, one="delay/1", two="delay/2")
        said = (await h.http.post("/models/delay/promote?wait=100ms", json={"version": 1})).json()
        assert said["complete"] is False
        assert said["waiting"] == [{"process": "two", "stage": "score", "reason": "delay/2 goes on"}]
        other = (await h.http.put("/models/delay/aliases/canary?wait=5s", json={"version": 1})).json()
        assert other["complete"] is True, "no scorer follows that alias"
        for path in h.services.status.glob("*.json"):
            path.unlink()
        said = (await h.http.post("/models/delay/rollback?wait=50ms")).json()
        assert said["waiting"] == [{"process": "", "stage": "score", "reason": "no worker runs it yet"}]
        assert (await h.http.post("/models/delay/promote?wait=1h", json={"version": 1})).status_code == 400

    run(house, work)


def test_of_scorers_elsewhere_nobody_is_waited_for(house: Any) -> None:
    async def work(h: Any) -> None:
        await two_versions(h)
        said = (await h.http.post("/models/delay/promote?wait=20s", json={"version": 1})).json()
        assert (said["version"], said["complete"]) == (1, False)
        reason = "workers elsewhere run it, and say so at their own /readyz"
        assert said["waiting"] == [{"process": "", "stage": "score", "reason": reason}]

    run(partial(house, elsewhere=True), work)


def kept(h: Any) -> set[str]:
    return set(h.services.artifacts.digests())


def test_a_refused_artifact_leaves_nothing_on_the_disk(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h, body=b"good")
        (good,) = kept(h)
        for _ in range(2):
            assert (await register(h, "?dataset_id=bad", body=b"bad")).status_code == 400
            assert kept(h) == {good}
        assert (await register(h, "?dataset_id=bad", body=b"good")).status_code == 400
        assert kept(h) == {good}, "a version has it"

    run(house, work)


def test_one_that_is_stored_again_or_asked_for_meanwhile_stays(house: Any) -> None:
    async def work(h: Any) -> None:
        artifacts, registry = h.services.artifacts, h.services.registry
        first = artifacts.store(b"bytes")
        second = artifacts.store(b"bytes")
        artifacts.forget(first)
        artifacts.forget(second)
        assert kept(h) == {first.digest}, "the first was overtaken, and the second brought nothing new"
        assert not registry.uses(first.digest)
        command = Register(id="c", name="asked", digest=first.digest, dataset_id="nobody")
        h.log.append([Write(SYSTEM, 0, to_rows([command]))])
        registry.refresh()
        assert registry.uses(first.digest)

    run(house, work)


def test_one_beyond_the_limit_is_refused_before_it_is_read(house: Any) -> None:
    async def work(h: Any) -> None:
        length = {"content-length": str(1_000_001)}

        def read() -> bytes:
            raise AssertionError("it was read")

        async def never() -> Any:
            yield read()

        early = await h.http.post("/models/delay/versions", content=never(), headers=length)
        assert (early.status_code, early.json()["error"]["code"]) == (413, "too_large")
        assert "1000000 bytes" in early.text and "PENSTOCK_RUNNER_MEMORY" in early.text

        async def parts() -> Any:
            for _ in range(11):
                yield b"x" * 100_000

        late = await h.http.post("/models/delay/versions", content=parts())
        assert late.status_code == 413
        assert not kept(h) and h.count() == 0

    run(house, work, settings=Settings(runner_memory=2_000_000))


def test_refusals(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h)
        refused = await register(h, "?dataset_id=bad")
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "model_refused")
        assert "not an ONNX file" in refused.text
        conflict = await h.http.put("/models/delay/aliases/champion", json={"version": 1, "expected": 7})
        assert conflict.status_code == 409
        assert (await h.http.post("/models/delay/promote", json={"version": 99})).status_code == 404
        assert (await h.http.get("/models/dleay")).status_code == 404

    run(house, work)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/delay/promote", b"{}"),
        ("/models/delay/promote", b'{"version": "1"}'),
        ("/models/delay/promote", b'{"version": 1, "x": 1}'),
        ("/models/delay/promote", b"[" * 100_000),
        ("/models/delay/promote", b" " * 100_000),
        ("/models/delay/versions", b""),
        ("/models/delay/versions?metrics=x", b"m"),
        ("/models/delay/versions?metric={}", b"m"),
        ("/models/..%2f..%2fx/versions", b"m"),
        ("/models/-x/versions", b"m"),
    ],
)
def test_nonsense_appends_no_command(house: Any, path: str, body: bytes) -> None:
    async def work(h: Any) -> None:
        answer = await h.http.post(path, content=body)
        assert answer.status_code in (400, 404), answer.text
        assert answer.json()["error"]["code"] != "internal"
        assert h.count() == 0

    run(house, work)


# -- /v2 ----------------------------------------------------------------------


async def adds(model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
    total = np.add(rows["a"].to_numpy(), rows["b"].to_numpy())
    return pa.RecordBatch.from_arrays([pa.array(total, pa.float32())], names=["y"]), f"{model}/1"


INFER = "/v2/models/delay/infer"


def tensor(name: str, data: Any, shape: list[int], kind: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "datatype": kind, "shape": shape, "data": data, **more}


def test_infer_by_columns_by_matrix_and_binary(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h)
        by_column = {"id": "7", "inputs": [tensor("a", [1, 2], [2]), tensor("b", [[10], [20]], [2, 1])]}
        said = await h.http.post(INFER, json=by_column)
        assert said.json() == {
            "id": "7", "model_name": "delay", "model_version": "1",
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [11.0, 22.0]}],
        }  # fmt: skip
        matrix = {"inputs": [tensor("x", [1, 10, 2, 20], [2, 2])]}
        assert (await h.http.post(INFER, json=matrix)).json()["outputs"] == said.json()["outputs"]
        data = np.array([[1, 10], [2, 20]], "<f4").tobytes()
        head = json.dumps(
            {
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 2], "parameters": {"binary_data_size": 16}}],
                "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
            }
        ).encode()
        binary = await h.http.post(
            INFER, content=head + data, headers={"inference-header-content-length": str(len(head))}
        )
        length = int(binary.headers["inference-header-content-length"])
        assert json.loads(binary.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 8}
        assert np.frombuffer(binary.content[length:], "<f4").tolist() == [11.0, 22.0]
        described = (await h.http.get("/v2/models/delay")).json()
        assert [t["datatype"] for t in described["inputs"]] == ["FP32", "FP32"]
        assert (await h.http.get("/v2/models/delay/ready")).json()["ready"] is True
        assert (await h.http.get("/v2/models/delay/versions/2")).status_code == 404

    run(house, work, ask=adds)


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"inputs": []}',
        json.dumps({"inputs": [tensor("a", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], [2]), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], [1]), tensor("b", [1, 2], [2])]}).encode(),
        json.dumps({"inputs": [tensor("a", ["x"], [1]), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], [1], "FP99"), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [300], [1], "UINT8"), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], [-1]), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], []), tensor("b", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [1], [1]), tensor("a", [1], [1])]}).encode(),
        json.dumps({"inputs": [tensor("a", [], [0, 2**31])]}).encode(),
        json.dumps(
            {"inputs": [tensor("a", [1], [1], parameters={"binary_data_size": 4}), tensor("b", [1], [1])]}
        ).encode(),
        json.dumps({"inputs": [tensor("a", [1], [1]), tensor("b", [1], [1])], "outputs": [{"name": "z"}]}).encode(),
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_bad_tensors_get_a_typed_answer(house: Any, body: bytes) -> None:
    async def work(h: Any) -> None:
        await register(h)
        answer = await h.http.post(INFER, content=body)
        assert answer.status_code == 400, answer.text
        assert isinstance(answer.json()["error"], str)

    run(house, work, ask=adds)


def seen(into: list[pa.RecordBatch]) -> Any:
    async def ask(model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
        into.append(rows)
        return pa.RecordBatch.from_arrays([pa.nulls(rows.num_rows, pa.float32())], names=["y"]), f"{model}/1"

    return ask


@pytest.mark.parametrize("kind", ["FP16", "FP32", "FP64", "INT64", "UINT8"])
def test_a_null_is_missing_as_it_is_in_the_stream(house: Any, kind: str) -> None:
    asked: list[pa.RecordBatch] = []

    async def work(h: Any) -> None:
        await register(h)
        body = {"inputs": [tensor("a", [None, 2], [2], kind), tensor("b", [[1], [None]], [2, 1], kind)]}
        assert (await h.http.post(INFER, json=body)).status_code == 200
        assert asked[0].to_pydict() == {"a": [None, 2.0], "b": [1.0, None]}
        assert asked[0].schema == SIGNATURE.inputs

    run(house, work, ask=seen(asked))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (tensor("a", [1e300], [1], "FP64"), "row 0, field 'a': column 'a' has a value that is no float, as which"),
        (tensor("a", [70_000.0], [1], "FP16"), "field 'a': 70000.0 is beyond FP16"),
        (tensor("a", [1e39], [1], "FP32"), "field 'a': 1e+39 is beyond FP32"),
        (tensor("a", ["5"], [1], "BYTES"), "field 'a': not a column of float: the tensor holds string"),
        (tensor("a", [[1], [2, 3]], [3]), r"field 'a': data[0] has 1 values: nested data follow shape [3]"),
        (tensor("a", [[1, 2], [3]], [3, 1]), r"field 'a': data[0] has 2 values: nested data follow shape [3, 1]"),
        (tensor("a", [[1, 2], [], [3]], [3, 1]), "field 'a': data[0] has 2 values"),
        (tensor("a", [[], [1]], [1, 1]), "field 'a': data[0] has 0 values"),
        (tensor("a", [300], [1], "INT8"), "field 'a': "),
    ],
)
def test_tensors_that_would_become_other_numbers_are_refused(house: Any, given: dict[str, Any], says: str) -> None:
    async def work(h: Any) -> None:
        await register(h)
        answer = await h.http.post(INFER, json={"inputs": [given, tensor("b", [1], [1])]})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"].startswith(says)

    run(house, work, ask=adds)


def test_errors_are_texts_as_the_protocol_has_them(house: Any) -> None:
    """Its clients make their exceptions of that text."""

    async def work(h: Any) -> None:
        await register(h)
        for method, path, status in [
            ("POST", "/v2/models/other/infer", 404),
            ("POST", "/v2/models/delay/versions/9/infer", 404),
            ("GET", "/v2/models/other", 404),
            ("GET", "/v2/models/other/ready", 404),
            ("POST", INFER, 400),
            ("DELETE", INFER, 405),
            ("GET", "/v2/nothing", 404),
        ]:
            answer = await h.http.request(method, path, content=b"{")
            assert answer.status_code == status
            assert isinstance(answer.json()["error"], str) and answer.json()["error"], answer.text
        foreign = await h.http.get("/v2/models/delay", headers={"host": "evil.example"})
        assert foreign.status_code == 403 and isinstance(foreign.json()["error"], str)
        assert (await h.http.get("/models/other")).json()["error"]["code"] == "not_found"

    run(house, work, ask=adds)


ONE = b'{"inputs":[{"name":"a","datatype":"FP32",'
COSTLY = {
    "tensors without end": b'{"inputs":[' + b"{}," * 4_000_000 + b"{}]}",
    "rows without end": ONE + b'"shape":[1],"data":[' + b"[]," * 4_000_000 + b"[]]}]}",
    "values without end": ONE + b'"shape":[1],"data":[' + b"1," * 4_000_000 + b"1]}]}",
    "parameters without end": b'{"parameters":{"a":[' + b"[]," * 4_000_000 + b'[]]},"inputs":[]}',
    "outputs without end": b'{"inputs":[],"outputs":[' + b'{"name":"y"},' * 1_000_000 + b'{"name":"y"}]}',
    "a shape without end": ONE + b'"data":[1],"shape":[' + b"1," * 4_000_000 + b"1]}]}",
    "a million rows": json.dumps({"inputs": [tensor("a", [], [1_000_000]), tensor("b", [], [0])]}).encode(),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_call_is_counted_before_it_is_read(house: Any, name: str) -> None:
    """31 KB of gzip kept everybody waiting for six seconds."""

    async def work(h: Any) -> None:
        await register(h)
        packed = gzip.compress(COSTLY[name])
        with traced() as peak:
            answer = await h.http.post(INFER, content=packed, headers={"content-encoding": "gzip"})
            most = peak()
        assert (answer.status_code, answer.headers["penstock-error"]) == (413, "too_large"), answer.text
        assert most < 3 * len(COSTLY[name]) + (4 << 20), "it was made into objects"

    run(house, work, ask=adds)


def test_the_counting_test_notices_that_nothing_is_counted(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tensors, "has_more", lambda parts, values: bool(list(parts)) and False)
    with pytest.raises(AssertionError, match=r"it was made into objects|invalid_event"):
        test_a_call_is_counted_before_it_is_read(house, "rows without end")


def test_a_large_call_is_scored(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h)
        values = list(range(50_000))
        body = {"inputs": [tensor("a", values, [50_000]), tensor("b", [[v] for v in values], [50_000, 1])]}
        answer = await h.http.post(INFER, json=body)
        assert answer.json()["outputs"][0]["data"][-1] == 99_998.0

    run(house, work, ask=adds)


def test_an_output_is_asked_for_once(house: Any) -> None:
    async def work(h: Any) -> None:
        await register(h)
        asked = {"inputs": [tensor("a", [1], [1]), tensor("b", [1], [1])], "outputs": [{"name": "y"}, {"name": "y"}]}
        answer = await h.http.post(INFER, json=asked)
        assert (answer.status_code, answer.headers["penstock-error"]) == (400, "invalid_event")
        assert "'y'" in answer.json()["error"]

    run(house, work, ask=adds)


def test_no_worker_and_no_version(house: Any) -> None:
    async def work(h: Any) -> None:
        body = {"inputs": [tensor("a", [1], [1]), tensor("b", [1], [1])]}
        assert (await h.http.post(INFER, json=body)).status_code == 404
        await register(h)
        answer = await h.http.post(INFER, json=body)
        assert answer.status_code == 503 and "retry-after" in answer.headers
        assert (await h.http.post("/v2/models/other/infer", json=body)).status_code == 404

    run(house, work)
