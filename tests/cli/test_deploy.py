"""`penstock deploy --dry-run` and `penstock check --target`: what an app needs, and what a target cannot hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.deploy.targets import TARGETS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deploy.md").read_text()
TOO_MUCH = """
import penstock as ps
app = ps.App("shop")
orders = app.topic("orders", partitions=64, retain=None)
Orders = app.topic("Orders")
@app.on(orders, to=Orders)
def copy(order: dict, key: str = ps.secret("API_KEY")) -> dict:
    return order
"""


def typed(*words: str) -> tuple[str, str, int]:
    done = CliRunner().invoke(app, list(words))
    return done.stdout, done.stderr, done.exit_code


@pytest.fixture
def flights(tmp_path: Path) -> Path:
    """The example without what its training leaves beside it."""
    return Path(shutil.copy(ROOT / "examples" / "flights" / "app.py", tmp_path / "app.py"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    file = tmp_path / "shop.py"
    file.write_text(TOO_MUCH)
    return file


def shown(page: str) -> str:
    """The block after the command for the flights app, without blanks at the ends of lines."""
    block = page.partition("$ penstock deploy app.py --target azure --dry-run\n")[2].partition("```")[0]
    return "\n".join(line.rstrip() for line in block.strip().splitlines())


def check_page(page: str, file: Path) -> None:
    printed, _, code = typed("deploy", str(file), "--target", "azure", "--dry-run")
    assert code == 0
    assert shown(page) == "\n".join(line.rstrip() for line in printed.strip().splitlines()), "the page shows another"


def test_the_page_shows_what_is_printed_for_the_flights_app(flights: Path) -> None:
    check_page(PAGE, flights)


def test_a_page_that_shows_a_right_too_few_is_found(flights: Path) -> None:
    lines = [line for line in PAGE.splitlines(keepends=True) if "put     store artifacts" not in line]
    with pytest.raises(AssertionError, match="the page shows another"):
        check_page("".join(lines), flights)


@pytest.mark.parametrize("target", TARGETS)
def test_every_row_has_its_reason_for_machines_too(flights: Path, target: str) -> None:
    printed, told, code = typed("deploy", str(flights), "--target", target, "--dry-run", "--json")
    rows = [json.loads(line) for line in printed.splitlines()]
    assert (told, code) == ("", 0)
    assert {row["table"] for row in rows} == {"needed", "rights"}
    assert all(row["why"].startswith(("app.py:", "house rule: ")) for row in rows)
    assert {"who", "right", "what", "why", "service", "group", "table"} == set(rows[-1])
    assert {"table": "needed", "what": "log", "name": "departures", "details": "4 partitions, kept 7d",
            "why": "app.py:29: the app's topic"} in rows  # fmt: skip


@pytest.mark.parametrize(
    ("name", "begins"), [("a.svg", "<svg"), ("a.mmd", "flowchart"), ("a.dot", "digraph"), ("a.json", "{")]
)
def test_it_is_drawn_as_the_files_name_says(flights: Path, name: str, begins: str) -> None:
    file = flights.parent / name
    assert typed("deploy", str(flights), "--target", "azure", "--dry-run", "--draw", str(file))[2] == 0
    drawing = file.read_text()
    assert drawing.startswith(begins)
    assert all(word in drawing for word in ("penstock.gateway", "prepare", "departures", "artifacts"))


@pytest.mark.parametrize("name", ["a.png", "a", "none/a.svg", "a.txt"])
def test_what_cannot_be_drawn_is_refused_and_nothing_is_printed(flights: Path, name: str) -> None:
    printed, told, code = typed(
        "deploy", str(flights), "--target", "azure", "--dry-run", "--draw", str(flights.parent / name)
    )
    assert (printed, code) == ("", 2) and told.startswith("penstock: --draw ") and told.count("\n") == 1


@pytest.mark.parametrize("target", TARGETS)
def test_a_project_is_written_beside_the_app_or_where_it_is_told(flights: Path, target: str) -> None:
    printed, told, code = typed("deploy", str(flights), "--target", target, "--write-only")
    out = flights.parent / "deploy" / target
    assert (printed, code) == (f"written: {out}; README.md there says what comes next\n", 0), told
    assert json.loads((out / "generated" / "plan.json").read_text())["app"] == "flights"
    printed, _, code = typed("deploy", str(flights), "--target", target, "--write-only", "--out", str(out))
    assert (printed, code) == (f"written again: {out}; README.md there says what comes next\n", 0)


def test_nothing_is_written_of_what_a_target_cannot_hold(shop: Path) -> None:
    printed, told, code = typed("deploy", str(shop), "--target", "azure")
    assert (printed, code) == ("", 1) and "an event hub 32 at most" in told
    assert [path.name for path in shop.parent.iterdir() if path.name != "__pycache__"] == ["shop.py"]


@pytest.mark.parametrize("words", [("deploy", "--dry-run"), ("deploy",), ("check",)])
def test_an_unknown_target_is_refused_before_the_app_is_executed(shop: Path, words: tuple[str, ...]) -> None:
    shop.write_text("raise SystemExit('executed')")
    name, *options = words
    printed, told, code = typed(name, str(shop), "--target", "aws", *options)
    assert (printed, code) == ("", 2)
    assert told == "penstock: --target aws: there are azure and kubernetes\n"


def test_an_app_that_cannot_be_held_is_told_with_file_and_line(shop: Path) -> None:
    for name, *options in (("deploy", "--dry-run"), ("check",)):
        printed, told, code = typed(name, str(shop), "--target", "azure", *options)
        assert code == 1 and "orders" in printed
        assert (
            f"error: {shop}:4: topic 'orders' has 64 partitions, and an event hub 32 at most\n    write partiti" in told
        )
        assert f"error: {shop}:4: topic 'orders' is kept for ever" in told and "retain='7d'" in told
        one = f"{shop}:5: topic 'Orders' and topic 'orders' ({shop}:4) would both be called 'orders'"
        assert f"error: {one}\n    give the topic another name" in told
    told = typed("check", str(shop), "--target", "kubernetes")[1]
    assert "would both be called 'shop-orders'" in told and "partitions" not in told


def test_an_app_that_could_not_run_is_told_as_check_tells_it(shop: Path) -> None:
    shop.write_text(TOO_MUCH.replace("to=Orders", "to=orders"))
    printed, told, code = typed("deploy", str(shop), "--target", "azure", "--dry-run")
    assert (printed, code) == ("", 1) and "its events would go round for ever" in told and "64" not in told
    assert "64 partitions" not in typed("check", str(shop), "--target", "azure")[1], "first things first"


@pytest.mark.parametrize("target", TARGETS)
def test_who_outside_may_do_what_is_shown_where_the_doors_are_open(flights: Path, target: str) -> None:
    printed, told, code = typed(
        "deploy", str(flights), "--target", target, "--dry-run", "--json", "--access", "keys,oidc"
    )
    rows = [json.loads(line) for line in printed.splitlines()]
    assert (told, code) == ("", 0)
    outside = [row for row in rows if row["table"] == "outside"]
    assert {"table": "outside", "who": "publisher", "right": "append", "what": "departures, features, delays",
            "why": "house rule: publisher is append:*"} in outside  # fmt: skip
    assert "penstock.audit" in [row["name"] for row in rows if row["table"] == "needed"]
    shown = typed("deploy", str(flights), "--target", target, "--dry-run", "--access", "keys")[0]
    assert "who may do what from outside" in shown and "PENSTOCK_OIDC" not in shown
    printed, told, code = typed("deploy", str(flights), "--target", target, "--dry-run", "--access", "key")
    assert (printed, code) == ("", 2) and "there are keys, and beside it oidc and sas" in told


def test_a_project_is_written_with_its_access(flights: Path) -> None:
    for words in (("--access", "keys,sas"), ()):
        _, told, code = typed("deploy", str(flights), "--target", "azure", "--write-only", *words)
        assert code == 0, told
        manifest = json.loads((flights.parent / "deploy" / "azure" / "generated" / "manifest.json").read_text())
        assert manifest["access"] == "keys,sas"


def test_a_secret_without_a_value_is_needed_all_the_same(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    printed, told, _ = typed("deploy", str(shop), "--target", "kubernetes", "--dry-run")
    assert "secret API_KEY" in printed and "hunter2" not in printed + told
    monkeypatch.delenv("API_KEY")
    assert typed("deploy", str(shop), "--target", "kubernetes", "--dry-run")[0] == printed


def test_the_targets_of_the_help_are_those_that_there_are() -> None:
    for name in ("deploy", "check"):
        printed = typed(name, "--help")[0]
        assert all(target in printed for target in TARGETS), printed
