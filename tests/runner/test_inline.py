"""The runner in this process: the contract, and what only tests do with it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from tests.runner.contract import PLAN, ZOO, RunnerContract, features, given, model

from penstock.errors import PredictionInvalid
from penstock.runner.inline import InlineRunner
from penstock.runner.interface import Runner

LIMIT = 10.0


class TestInlineRunner(RunnerContract):
    @pytest.fixture
    def runner(self) -> Iterator[Runner]:
        runner = InlineRunner(ZOO.app, PLAN)
        yield runner
        runner.close()


def test_models_may_be_plain_functions(tmp_path: Path) -> None:
    runner = InlineRunner(ZOO.app, PLAN, models={tmp_path.name: lambda rows: rows.select(y=pl.col("x") + 1)})
    assert runner.predict(model(tmp_path, 2), features(2), timeout=LIMIT).to_pydict() == {"y": [1.0, 2.0]}
    runner.close()


def test_a_plain_function_is_held_to_the_signature(tmp_path: Path) -> None:
    runner = InlineRunner(ZOO.app, PLAN, models={tmp_path.name: lambda rows: rows.select(z=pl.col("x"))})
    with pytest.raises(PredictionInvalid, match="no column y"):
        runner.predict(model(tmp_path, 2), features(2), timeout=LIMIT)
    runner.close()


def test_resources_may_be_ready() -> None:
    kind = sys.modules["zoo"].Offset
    runner = InlineRunner(ZOO.app, PLAN, resources={kind: kind(5)})
    applied = runner.apply("frame", given(1), timeout=LIMIT)
    assert applied.rows is not None and applied.rows.column("double").to_pylist() == [7.0]
    runner.close()


def test_resources_are_opened_once_and_closed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    runner = InlineRunner(ZOO.app, PLAN, env={"ZOO_JOURNAL": str(journal)})
    for _ in range(2):
        runner.apply("frame", given(1), timeout=LIMIT)
    assert journal.read_text() == "opened\n"
    runner.close()
    assert journal.read_text() == "opened\nclosed\n"
