"""docs/api.md is what the docstrings say; each says its errors, and its examples run. docs/metrics.md is beside it."""

from __future__ import annotations

import builtins
import doctest
import inspect
import pydoc
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from tests.run.server import Server, wait_for

import penstock as ps
from penstock import errors, testing
from penstock.client.connection import Client
from penstock.errors import NotFound

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart" / "app.py"


def script() -> ModuleType:
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None and spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


reference = script()
ENTRIES = [entry for _, entries in reference.sections() for entry in entries]


@dataclass
class Order:
    id: str
    amount: float


@dataclass
class Risk:
    id: str
    score: float


@dataclass
class Rates:
    table: pl.DataFrame


# -- what a docstring must have -----------------------------------------------


def faults(entry: Any) -> list[str]:
    """What its docstring lacks."""
    if not entry.text:
        return ["it has no docstring"]
    value = getattr(entry.value, "__func__", entry.value)
    if not inspect.isfunction(value):
        return []
    told = entry.text + entry.within
    raised = set(re.findall(r"\braise ([A-Z]\w+)\(", inspect.getsource(value)))
    raised |= {"DeclarationError"} if re.search(r"\brefused\(", inspect.getsource(value)) else set()
    lacking = [f"it raises {name} and does not say so" for name in sorted(raised) if f"``{name}``" not in told]
    if not re.search(r"\b[Rr]aises? ", told):
        lacking.append("it says nothing of errors")
    named = re.findall(r"``(\w+)``", " ".join(re.findall(r"Raises [^.]*\.", entry.text)))
    stray = [n for n in named if n[0].isupper() and not (hasattr(errors, n) or hasattr(builtins, n))]
    return lacking + [f"there is no error {name}" for name in stray]


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.title for entry in ENTRIES])
def test_a_public_name_says_what_it_does_and_how_it_fails(entry: Any) -> None:
    assert faults(entry) == []


def silent() -> None:
    """Says nothing of it."""


def secretly(given: object) -> None:
    """Raises ``TypeError`` for some."""
    raise NotFound("and for others this")


def inventive() -> None:
    """Raises ``Imagined``."""


@pytest.mark.parametrize(
    ("planted", "fault"),
    [
        (silent, "it says nothing of errors"),
        (secretly, "it raises NotFound and does not say so"),
        (inventive, "there is no error Imagined"),
        (lambda: None, "it has no docstring"),
    ],
)
def test_a_planted_docstring_that_hides_something_is_found(planted: Any, fault: str) -> None:
    assert faults(reference.Entry("planted", planted)) == [fault]


# -- examples -----------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    data = tmp_path_factory.mktemp("reference") / "data"
    with Server(QUICKSTART, data) as running, ps.connect(running.ready().url) as client:
        wait_for(lambda: client.ready() and client.models() and client.model("risk")["scorers"])
        yield client


def run(text: str, known: dict[str, Any]) -> str:
    """What failed; empty: nothing did."""
    said: list[str] = []
    example = doctest.DocTestParser().get_doctest(text, dict(known), "example", None, 0)
    doctest.DocTestRunner(verbose=False).run(example, out=said.append)
    return "".join(said)


def known(server: Client | None) -> dict[str, Any]:
    """What examples may use without making it."""
    app = ps.App("shop")
    orders = app.topic("orders", Order, key="id")
    risks = app.topic("risks-of-orders", Risk)
    large = app.topic("larger", Order)
    app.score(orders, app.model("risk", outputs=["score"]), to=risks, keep=["id"])
    frame = pl.DataFrame({"amount": [-1.0, 2.0]})
    names = {k: v for k, v in locals().items() if k != "server"}
    where = {} if server is None else {"server": server, "url": server.url}
    types = {"Order": Order, "Risk": Risk, "Rates": Rates, "Iterator": Iterator}
    return names | where | types | {"ps": ps, "pl": pl, "testing": testing, "errors": errors, "__name__": __name__}


WITH_EXAMPLES = [entry for entry in ENTRIES if ">>>" in entry.text]


def test_the_examples_run(server: Client) -> None:
    """On one server, in the order of the page."""
    assert len(WITH_EXAMPLES) > 20
    failed = {entry.title: said for entry in WITH_EXAMPLES if (said := run(entry.text, known(server)))}
    assert failed == {}, "\n".join(failed.values())


def test_a_planted_example_that_does_not_hold_is_found() -> None:
    assert "Expected:" in run(">>> ps.Retry(attempts=2).attempts\n3\n", known(None))
    assert "NameError" in run(">>> undefined\n", known(None))


# -- the page, dir and help ---------------------------------------------------


def test_the_page_is_what_the_docstrings_say() -> None:
    assert (ROOT / "docs" / "api.md").read_text() == reference.page(), "stale: run `make docs`"


def test_the_page_of_metrics_is_what_is_declared() -> None:
    names = [metric.series for metric in reference.every_metric()]
    assert len(names) == len(set(names)) > 0
    assert (ROOT / "docs" / "metrics.md").read_text() == reference.metrics_page(), "stale: run `make docs`"


def test_the_page_of_rights_is_what_the_doors_ask_for() -> None:
    assert (ROOT / "docs" / "rights.md").read_text() == reference.rights_page(), "stale: run `make docs`"


def test_every_public_name_is_on_the_page() -> None:
    titles = {entry.title for entry in ENTRIES}
    assert {f"ps.{name}" for name in ps.__all__} - titles == {"ps.errors", "ps.eventgrid"}
    assert {f"ps.eventgrid.{name}" for name in ps.eventgrid.__all__} <= titles
    assert {f"testing.{name}" for name in testing.__all__} <= titles
    kinds = {n for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.PenstockError)}
    assert kinds <= {title.removeprefix("ps.") for title in titles}


def test_dir_and_help_know_every_name_and_each_is_there() -> None:
    for module in (ps, testing):
        assert set(module.__all__) <= set(dir(module))
        assert all(getattr(module, name) is not None for name in dir(module))
    assert {"connect", "testing", "errors", "Client"} <= set(dir(ps)) and ps.testing is testing
    told = pydoc.render_doc(ps, renderer=pydoc.plaintext)  # type: ignore[attr-defined]
    assert all(re.search(rf"\b{name}\b", told) for name in ps.__all__)
    assert "nothing is sent yet" in told
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        ps.conect  # noqa: B018
