"""Every refusal, each with its line and what to write; and what a good app becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from penstock.batch import DEAD, JSON_SCHEMA, SYSTEM
from penstock.declare.app import App
from penstock.declare.load import load
from penstock.declare.planning.build import ResolvedApp, plan_of, resolve
from penstock.errors import DeclarationError
from penstock.plan.codec import plan_from_bytes, plan_to_bytes
from penstock.plan.places import Site
from penstock.plan.plan import FunctionSpec, HandleSpec
from penstock.plan.references import ReferenceSpec

Look = Callable[..., ResolvedApp]

SCORE = 'model = app.model("m", outputs=["b"])\napp.score(first, model, to=second)\n'


class Signed:
    """A signature, as ``models.interface.Signature`` has it."""

    def __init__(self, inputs: dict[str, pa.DataType], outputs: dict[str, pa.DataType]) -> None:
        self.inputs, self.outputs = pa.schema(inputs), pa.schema(outputs)


REFUSED = {
    "two topics": ('app.topic("first", B)', "two topics are called 'first'"),
    "two models": ('app.model("m", outputs=["b"])\napp.model("m", outputs=["b"])', "two models are called 'm'"),
    "two stages": (
        """
        @app.on(first)
        def second(x: A) -> None: ...
        app.score(first, app.model("m", outputs=["b"]), to=second_topic)
        """.replace("second_topic", 'app.topic("t", B)').replace("def second", "def t"),
        "two stages are called 't'",
    ),
    "a topic of another app": (
        'other = ps.App("o").topic("other", A)\n@app.on(other)\ndef f(x: A) -> None: ...',
        "'f' uses topic 'other', which this app does not declare",
    ),
    "a model of another app": (
        'm = ps.App("o").model("m", outputs=["b"])\napp.score(first, m, to=second)',
        "scores with 'm', which this app does not declare",
    ),
    "feeds itself": ("@app.on(first, to=first)\ndef f(x: A) -> A: ...", "its events would go round for ever"),
    "a circle of scorers": (
        """
        m = app.model("m", outputs=["text"])
        other = app.topic("other", A)
        app.score(first, m, to=other, keep=["a"])
        app.score(other, m, to=first, keep=["a"])
        """,
        "through scorers and subscriptions that pass every event, for ever",
    ),
    "key": ('app.topic("t", A, key="c")', "the key 'c' is not a column of topic 't'"),
    "key of JSON": ('app.topic("t", key="c")', "holds JSON and has no column 'c'"),
    "key is a float": ('app.topic("t", B, key="b")', "a column of double cannot be a key"),
    "type": ('app.topic("t", dict)', "is not an event type"),
    "field type": ("@dataclass\nclass C:\n    c: dict[str, int]\napp.topic('t', C)", "C.c"),
    "no parameter": ("@app.on(first)\ndef f() -> None: ...", "f takes nothing"),
    "no annotation": ("@app.on(first)\ndef f(x): ...", "the first parameter of f has no annotation"),
    "lazy": ("@app.on(first)\ndef f(x: pl.LazyFrame) -> None: ...", "write x: pl.DataFrame"),
    "arrow table": ("@app.on(first)\ndef f(x: pa.Table) -> None: ...", "write x: pa.RecordBatch"),
    "stars": ("@app.on(first)\ndef f(x: A, *more: int) -> None: ...", r"f takes \*more"),
    "unresolved": ("@app.on(first)\ndef f(x: Missing) -> None: ...", "'Missing' is not defined"),
    "async generator": ("@app.on(first)\nasync def f(x: A):\n    yield x", "is an async generator"),
    "wrong event": ("@app.on(first)\ndef f(x: B) -> None: ...", "f takes B, and topic 'first' holds A"),
    "typed event of JSON": ('@app.on(app.topic("j"))\ndef f(x: B) -> None: ...', "topic 'j' holds JSON"),
    "wrong result": (
        "@app.on(first, to=second)\ndef f(x: A) -> list[A]: ...",
        "f returns A, and topic 'second' holds B",
    ),
    "no result": ("@app.on(first, to=second)\ndef f(x: A) -> None: ...", "and returns nothing"),
    "frame to event": ("@app.on(first, to=second)\ndef f(x: pl.DataFrame) -> B: ...", "return a pl.DataFrame"),
    "concurrency": ("@app.on(first, concurrency=2)\ndef f(x: A) -> None: ...", "is not async"),
    "nobody provides": ("@app.on(first)\ndef f(x: A, b: B) -> None: ...", "f asks for b: B, and nobody provides it"),
    "two provide": (
        "@app.resource\ndef r() -> Iterator[B]: yield B(1)\n@app.resource\ndef s() -> Iterator[B]: yield B(1)",
        "r and s both provide B",
    ),
    "resource says nothing": ("@app.resource\ndef r():\n    yield 1", "does not say what it provides"),
    "resources in a circle": (
        "@app.resource\ndef r(a: A) -> Iterator[B]: yield B(1)\n@app.resource\ndef s(b: B) -> Iterator[A]: yield A(1)",
        "by a circle",
    ),
    "handle for a resource": (
        "@app.resource\ndef r(m: ps.Models) -> Iterator[B]:\n    yield B(1)",
        "in the function that",
    ),
    "missing column": (
        "@app.on(first, to=second)\ndef f(x: pl.DataFrame) -> pl.DataFrame:\n    return x.select('_row')",
        "the column 'b' is missing",
    ),
    "surplus column": (
        "@app.on(first, to=second)\ndef f(x: pl.DataFrame) -> pl.DataFrame:\n    return x.with_columns(b=1.0)",
        "the column 'a' is not in its type",
    ),
    "column type": (
        "@app.on(first, to=second)\ndef f(x: pl.DataFrame) -> pl.DataFrame:\n    return x.select(b=pl.lit('x'))",
        "the column 'b' is large_string and not double",
    ),
    "untyped target, injected": (
        """
        @app.resource
        def r() -> Iterator[B]:
            yield B(1)
        @app.on(first, to=app.topic("t"))
        def f(x: pl.DataFrame, b: B) -> pl.DataFrame:
            return x
        """,
        "the columns of topic 't' cannot be taken from f: it asks for b",
    ),
    "untyped target, raises": (
        '@app.on(first, to=app.topic("t"))\ndef f(x: pl.DataFrame) -> pl.DataFrame:\n    raise KeyError("no")',
        "called with zero rows it raised KeyError",
    ),
    "untyped target, no dtype": (
        '@app.on(first, to=app.topic("t"))\ndef f(x: pl.DataFrame) -> pl.DataFrame:\n    return x.with_columns(n=None)',
        "the column 'n' has no type",
    ),
    "untyped target of two": (
        """
        t = app.topic("t")
        @app.on(first, to=t)
        def f(x: A) -> A: ...
        @app.on(first, to=t)
        def g(x: A) -> B: ...
        """,
        "f and g feed topic 't' with different columns",
    ),
    "untyped circle": (
        """
        t, u = app.topic("t"), app.topic("u")
        @app.on(t, to=u)
        def f(x: pl.DataFrame) -> pl.DataFrame: ...
        @app.on(u, to=t)
        def g(x: pl.DataFrame) -> pl.DataFrame: ...
        """,
        "the columns of topic 't' depend on themselves",
    ),
    "event by name only": ("@app.on(first)\ndef f(*, x: A) -> None: ...", "f cannot be given x"),
    "handle by place only": ("@app.on(first)\ndef f(x: A, m: ps.Models, /) -> None: ...", "f cannot be given m"),
    "keep": (SCORE.replace("to=second", 'to=second, keep=["c"]'), "keep names 'c', which topic 'first' lacks"),
    "outputs": (SCORE.replace('["b"]', '["c"]'), "the column 'c' is not in its type"),
    "inputs": (SCORE.replace('outputs=["b"]', 'outputs=["b"], inputs=["z"]'), "reads 'z', which topic 'first' lacks"),
    "scoring JSON": (
        'm = app.model("m", outputs=["b"])\napp.score(app.topic("j"), m, to=second)',
        "holds JSON and has no columns",
    ),
    "untyped target of a model": (SCORE.replace("to=second", 'to=app.topic("t")'), "before the model 'm' is there"),
    "trust": ('app.model("m", outputs=["b"], trust="yes")', "is not a digest"),
    "where field": (
        "@app.on(ps.ModelRegistered, where='modle = 1')\ndef f(x: ps.ModelRegistered) -> None: ...",
        "no column modle: did you mean model?",
    ),
    "where syntax": (
        "@app.on(ps.ModelRegistered, where='model = = 1')\ndef f(x: ps.ModelRegistered) -> None: ...",
        "where of ModelRegistered: '=' in place of a value",
    ),
    "where no condition": (
        "@app.on(ps.ModelRegistered, where='version + 1')\ndef f(x: ps.ModelRegistered) -> None: ...",
        "1 is a number, not a condition: compare it",
    ),
    "where of the envelope": (
        "@app.on(ps.ModelRegistered, where=\"_subject LIKE 'a%'\")\ndef f(x: ps.ModelRegistered) -> None: ...",
        "where names '_subject', which is no field of ModelRegistered",
    ),
    "system event": (
        "@app.on(ps.ModelRegistered)\ndef f(x: ps.ModelPromoted) -> None: ...",
        "with one ModelReg",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_line_and_a_mend(looked_at: Look, text: str, message: str) -> None:
    errors = [f for f in looked_at(text).findings if f.severity == "error"]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError("\n".join(map(str, errors)))
    for error in errors:
        assert ".py:" in error.place
        assert error.mend


def test_all_that_is_wrong_is_shown_at_once(app_file: Callable[..., Path]) -> None:
    text = "@app.on(first)\ndef f(x: B) -> None: ...\n@app.on(first)\ndef g(x) -> None: ...\n"
    file = app_file(text + 'app.topic("t", B, key="b")')
    with pytest.raises(DeclarationError) as raised:
        plan_of(load(str(file)).app)
    assert all(word in str(raised.value) for word in ("f takes B", "first parameter of g", "the key 'b'"))


def test_unset_variables_are_told_only_where_the_environment_counts(looked_at: Look) -> None:
    text = "@app.on(first)\ndef f(x: A, url: str = ps.env('URL'), key: str = ps.secret('KEY')) -> None: ..."
    assert not looked_at(text).findings
    (finding,) = looked_at(text, environ={"URL": "x"}).findings
    assert finding.severity == "warning" and finding.message == "ps.secret('KEY') has no value"
    assert ".py:" in finding.place and "KEY" in finding.mend and "stage 'f' is not ready" in finding.mend
    assert not looked_at(text, environ={"URL": "x", "KEY": "y"}).findings


def test_what_tests_provide_needs_nobody(app_file: Callable[..., Path]) -> None:
    text = "@app.resource\ndef r(client: B) -> Iterator[A]: yield A(1)\n@app.on(second)\ndef f(x: B, a: A) -> None: ..."
    app = load(str(app_file(text))).app
    assert len(resolve(app).findings) == 1
    provided = app.parts.functions[0].function.__globals__["A"]
    assert not resolve(app, provided=[provided]).findings


def test_a_resource_that_is_never_opened_needs_no_environment(app_file: Callable[..., Path]) -> None:
    text = """
    @app.resource
    def r(url: str = ps.env("URL")) -> Iterator[B]:
        yield B(1)
    @app.resource
    def s(b: B) -> Iterator[A]:
        yield A(1)
    @app.on(second)
    def f(x: B, a: A) -> None: ...
    """
    app = load(str(app_file(text))).app
    assert ["URL" in f.mend for f in resolve(app, environ={}).findings] == [True]
    given = app.parts.functions[0].function.__globals__["A"]
    assert not resolve(app, provided=[given], environ={}).findings


def test_a_model_whose_signature_does_not_fit(looked_at: Look) -> None:
    good = Signed({"a": pa.float32()}, {"b": pa.float32()})
    assert not looked_at(SCORE, signatures=lambda model, offered: good).findings
    for wrong, message in [
        (Signed({"z": pa.float32()}, {"b": pa.float32()}), "reads 'z', which topic 'first' lacks"),
        (Signed({"text": pa.float32()}, {"b": pa.float32()}), "reads 'text' as float, and it is string"),
        (Signed({"a": pa.float32()}, {"c": pa.float32()}), "answers with c"),
        (Signed({"a": pa.float32()}, {"b": pa.string()}), "the column 'b' is string and not double"),
    ]:
        found = looked_at(SCORE, signatures=lambda model, offered, wrong=wrong: wrong).findings
        assert [message in f.message for f in found] == [True]


def test_a_topic_keeps_the_encoding_that_it_declares(looked_at: Look) -> None:
    plan = looked_at('app.topic("foreign", A, encoding="json")').plan
    assert plan.topic("foreign").encoding == "json"
    assert plan.topic("first").encoding == "arrow"
    assert plan_from_bytes(plan_to_bytes(plan)).topic("foreign").encoding == "json"


def test_a_topic_says_the_source_of_its_events(looked_at: Look) -> None:
    plan = looked_at('app.topic("t")').plan
    assert plan.topic("t").source == f"/{plan.app}/t"


def test_untyped_topics_get_the_columns_of_what_feeds_them(looked_at: Look) -> None:
    plan = looked_at(
        """
        framed, classed, loose, scored = (app.topic(n) for n in ("framed", "classed", "loose", "scored"))

        @app.on(first, to=framed)
        def f(x: pl.DataFrame) -> pl.DataFrame:
            assert x.columns == ["a", "text", "_row"] and x.schema["_row"] == pl.UInt32
            return x.with_columns(pl.col("a").cast(pl.Int8), kind=pl.lit("x").cast(pl.Categorical))

        @app.on(framed, to=classed)
        def g(x: dict[str, Any]) -> B | None: ...

        @app.on(classed, to=loose)
        async def h(x: dict[str, Any]) -> dict[str, Any]: ...

        @app.on(first, to=second)
        async def i(x: pl.DataFrame) -> pl.DataFrame:
            return x.select(b=pl.col("a").cast(float))

        app.score(framed, app.model("m", outputs=["y"]), to=scored, keep=["kind"])
        """,
        signatures=lambda model, offered: Signed({"a": pa.float32()}, {"y": pa.float32()}),
    ).plan
    assert plan.topic("framed").schema == pa.schema({"a": pa.int64(), "text": pa.string(), "kind": pa.string()})
    assert plan.topic("classed").schema.names == ["b"]
    assert plan.topic("loose").schema == JSON_SCHEMA
    assert plan.topic("scored").schema == pa.schema({"kind": pa.string(), "y": pa.float64()})


def test_the_annotation_chooses(looked_at: Look) -> None:
    plan = looked_at(
        """
        @app.on(first)
        def event(x: A) -> None: ...
        @app.on(first)
        def listed(x: list[A], models: ps.Models) -> None: ...
        @app.on(first, concurrency=4)
        async def envelope(x: ps.Event[A]) -> None: ...
        @app.on(first)
        def frame(x: pl.DataFrame) -> None: ...
        @app.on(first)
        def arrow(x: pa.RecordBatch) -> None: ...
        @app.on(ps.ModelPromoted, where="alias = 'champion' AND version > 1", timeout="1h", retry=ps.Retry(5, "1m"))
        def system(x: ps.ModelPromoted) -> None: ...
        @app.on(ps.EventDeadLettered)
        def dead(x: ps.EventDeadLettered) -> None: ...
        """
    ).plan
    functions = plan.of_kind(FunctionSpec)
    assert [f.takes for f in functions] == ["event", "list", "envelope", "frame", "arrow", "event", "event"]
    assert functions[1].handles == (HandleSpec("Models", ("load", "register", "alias")),)
    assert functions[2].is_async
    assert (functions[-1].source, functions[-1].event) == (DEAD, "penstock.event.deadlettered")
    last = functions[-2]
    assert (last.source, last.event, last.timeout) == (SYSTEM, "penstock.model.promoted", 3600.0)
    assert (last.attempts, last.ttl) == (5, 60.0)


def test_a_typed_target_is_checked_also_for_functions_of_arrow(looked_at: Look) -> None:
    text = """
    @app.on(first, to=second)
    def f(x: pa.RecordBatch) -> pa.RecordBatch:
        return pa.RecordBatch.from_pydict({"b": pa.array([], pa.NUMBER)})
    """
    assert not looked_at(text.replace("NUMBER", "float32()")).findings
    assert looked_at(text.replace("NUMBER", "string()")).findings


def test_warnings_do_not_keep_an_app_from_running(app_file: Callable[..., Path]) -> None:
    text = """
    model = app.model("m", "missing.onnx", outputs=["b"])
    @app.on(first)
    def f(x: A) -> A: ...
    @app.on(first, to=second)
    def g(x: pl.DataFrame) -> pl.DataFrame:
        return x.select(b=1.0 / 0 + x["a"][0])
    @app.on(second, to=first)
    def back(x: B) -> A | None: ...
    """
    app = load(str(app_file(text))).app
    findings = resolve(app).findings
    assert {f.severity for f in findings} == {"warning"}
    words = ("has no file", "goes nowhere", "called with zero rows", "come back to it")
    assert all(any(word in f.message for f in findings) for word in words)
    assert plan_of(app).models[0].artifact is None


def test_an_artifact_lies_beside_the_file(app_file: Callable[..., Path]) -> None:
    file = app_file('app.model("m", ps.env("FILE"), outputs=["b"])')
    (file.parent / "m.onnx").write_bytes(b"x")
    app = load(str(file)).app
    model = plan_of(app, environ={"FILE": "m.onnx"}).models[0]
    assert model.artifact == ReferenceSpec("env", "FILE")
    assert Site(file.parent, {"FILE": "m.onnx"}).file(model) == file.parent / "m.onnx"
    assert Site(file.parent, {}).file(model) is None
    with pytest.raises(DeclarationError, match="set the environment variable FILE"):
        plan_of(app, environ={})


@dataclass
class Number:
    n: int


def test_a_column_that_arrow_has_no_type_for_is_named() -> None:
    def wide(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(n=pl.lit(1).cast(pl.Int128))

    app = App("wide")
    app.on(app.topic("numbers", Number), to=app.topic("made"))(wide)
    (finding,) = [str(f) for f in resolve(app).findings]
    assert "the column 'n' is Int128, which no topic holds: cast it to pl.Int64" in finding
