"""`penstock scale-hint`, on what servers say and on a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.run.server import Server, wait_for, write_app
from typer.testing import CliRunner

from penstock.cli.main import app
from penstock.cli.scale import hints

cli = CliRunner()


def metrics(wanted: float, stage: str = "score", **load: float) -> str:
    """As a gateway exposes them."""
    values = {"rate": 0.0, "capacity": 1_000.0, "lag": 0, "late": 0.0, "partitions": 8, "held": 0} | load
    lines = [f'penstock_wanted_workers{{stage="{stage}"}} {wanted}']
    lines += [f'penstock_scale_load{{stage="{stage}",what="{what}"}} {value}' for what, value in values.items()]
    return "\n".join(
        ["# TYPE penstock_wanted_workers gauge", lines[0], "# TYPE penstock_scale_load gauge", *lines[1:], ""]
    )


@pytest.mark.parametrize(
    ("texts", "workers", "words"),
    [
        ([metrics(0.0)], 1, "0 events/s come in and a worker can deal with 1,000/s"),
        ([metrics(1.0, rate=700)], 1, "700 events/s"),
        ([metrics(1.2, rate=840)], 2, "840 events/s"),
        ([metrics(0.6, rate=420), metrics(0.6, rate=420)], 2, "840 events/s"),
        ([metrics(3.0, rate=70)], 3, "it needed more a moment ago, or a roll-out is under way"),
        ([metrics(8.0, rate=99_000)], 8, "no more workers than that have work"),
        ([metrics(0.0, capacity=0)], 1, "unknown"),
    ],
)
def test_a_number_and_why(texts: list[str], workers: int, words: str) -> None:
    (found,) = hints(texts)
    assert (found["stage"], found["workers"]) == ("score", workers)
    assert words in str(found["why"])
    assert ("a moment ago" in str(found["why"])) == ("a moment ago" in words)


def test_a_server_that_has_measured_nothing_yet() -> None:
    assert hints(["# TYPE penstock_wanted_workers gauge\n"]) == []


def test_a_server_that_is_saying_its_first_figures_as_it_is_asked() -> None:
    """It sets them one after the other."""
    begun, _, _ = metrics(1.0, "begun", rate=700).partition('penstock_scale_load{stage="begun",what="late"}')
    assert [line["stage"] for line in hints([begun, metrics(1.0)])] == ["score"]


def test_of_a_real_server(tmp_path: Path) -> None:
    with Server(write_app(tmp_path), tmp_path / "data").ready() as server, server.client() as client:
        rows = [{"n": n, "x": n / 2} for n in range(500)]

        def told() -> dict[str, dict[str, float]] | None:
            client.publish("readings", rows)
            done = cli.invoke(app, ["scale-hint", "--url", server.url, "--json"])
            assert done.exit_code == 0, done.output
            found = {line["stage"]: line for line in map(json.loads, done.stdout.splitlines())}
            return found if all(found.get(s, {}).get("rate") for s in ("prepare", "doubles")) else None

        found = wait_for(told, 120)
        for stage in ("prepare", "doubles"):
            assert 1 <= found[stage]["workers"] <= found[stage]["partitions"] == 2
            assert found[stage]["capacity"] > 0 and found[stage]["wanted"] > 0
        shown = cli.invoke(app, ["scale-hint", "--url", server.url]).stdout
        assert "events/s come in" in shown and "prepare" in shown
        text = client.metrics()
        assert 'penstock_wanted_workers{stage="prepare"}' in text
        assert 'penstock_capacity_used_ratio{stage="prepare"}' in text


def test_no_server_is_one_line() -> None:
    done = cli.invoke(app, ["scale-hint", "--url", "http://127.0.0.1:9"])
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
