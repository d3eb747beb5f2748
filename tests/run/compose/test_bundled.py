"""A model's file that is not the version in service is told, registered or promoted; it is never passed over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.batch import SYSTEM, TopicSpec, Write
from penstock.clock import ManualClock
from penstock.errors import CannotStart
from penstock.log.memory import MemoryLog
from penstock.models.artifacts import Artifacts
from penstock.models.interface import Signature
from penstock.models.messages import MoveAlias, Register
from penstock.notices import Notices
from penstock.plan.plan import ModelSpec, OnChange, Plan
from penstock.plan.references import ReferenceSpec
from penstock.run.compose.bootstrap import open_registry
from penstock.run.compose.bundled import commands, settle
from penstock.system.messages import Command, to_rows
from penstock.system.owner import answer

SIGNATURE = Signature(pa.schema([("x", pa.float64())]), pa.schema([("y", pa.float64())]))


class House:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "m.onnx"
        self.log, self.clock, self.told = MemoryLog(ManualClock()), ManualClock(), Notices()
        self.log.create(TopicSpec(SYSTEM, partitions=1))
        self.registry = open_registry(self.log, self.clock, "test")
        self.registry.state.inspect = lambda command: ("onnx", SIGNATURE)
        self.artifacts = Artifacts(folder / "artifacts")
        self.model = ModelSpec("m", ("y",), artifact=str(self.file), place="app.py:7")

    def start(self, content: str, on_change: OnChange = "keep") -> list[Command]:
        """What a start asks for, with the file as it is then; all of it is granted."""
        self.file.write_text(content)
        self.clock.advance(1.0)
        plan = Plan("app", "app.py:app", "code", (), models=(self.model,))
        asked = list(commands(plan, self.registry, self.artifacts, self.clock, self.told, on_change))
        self.grant(*asked)
        return asked

    def grant(self, *asked: Command) -> None:
        if not asked:
            return
        rows = to_rows(asked)
        events, _ = answer(self.registry.view.areas, rows, now=1)
        self.log.append([Write(SYSTEM, 0, rows), Write(SYSTEM, 0, to_rows(events))])
        self.registry.refresh()

    @property
    def serving(self) -> int:
        alias = self.registry.alias("m")
        assert alias is not None
        return alias.version

    @property
    def reasons(self) -> list[str]:
        return [notice.reason for notice in self.told.standing()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_the_first_version_and_then_nothing(house: House) -> None:
    (first,) = house.start("one")
    assert isinstance(first, Register) and first.is_seed and first.only_if_none
    assert house.start("one") == [] and house.serving == 1 and house.reasons == []


def test_a_changed_file_is_kept_out_and_told_until_it_is_in_service(house: House) -> None:
    house.start("one")
    assert house.start("two") == []
    (notice,) = house.told.standing()
    assert notice.reason == f"{house.file} has changed since it was registered, and version 1 of model 'm' goes on"
    assert notice.place == "app.py:7" and f"penstock models register m {house.file}" in notice.mend
    settle((house.model,), house.registry, house.told)
    assert house.reasons
    digest = house.artifacts.put(house.file)
    house.grant(Register(id="r", name="m", digest=digest, promote=True))
    settle((house.model,), house.registry, house.told)
    assert house.reasons == [] and house.serving == 2


def test_register_makes_it_the_next_version_once(house: House) -> None:
    house.start("one")
    (asked,) = house.start("two", "register")
    assert isinstance(asked, Register) and not asked.only_if_none
    assert len(house.registry.versions("m")) == 2 and house.serving == 1
    assert [n.mend for n in house.told.standing()] == ["penstock models promote m 2"]
    assert house.start("two", "register") == [], "the same file is no version 3"


def test_promote_puts_it_in_service_also_when_it_was_a_version_before(house: House) -> None:
    house.start("one")
    house.start("two", "promote")
    assert house.serving == 2 and house.reasons == []
    (moved,) = house.start("one", "promote")
    assert isinstance(moved, MoveAlias) and house.serving == 1
    assert len(house.registry.versions("m")) == 2


def test_after_a_roll_back_the_file_is_told_by_its_version(house: House) -> None:
    house.start("one")
    house.start("two", "promote")
    house.grant(MoveAlias(id="back", model="m", alias="champion", version=1))
    assert house.start("two") == []
    assert house.reasons == [f"{house.file} is version 2, and version 1 of model 'm' goes on"]


def test_the_model_itself_says_what_becomes_of_it(house: House) -> None:
    house.start("one")
    house.model = replace(house.model, on_change="promote")
    house.start("two", "keep")
    assert house.serving == 2
    house.model = replace(house.model, on_change="keep")
    house.start("three", "promote")
    assert house.serving == 2 and house.reasons


def test_a_file_that_the_environment_names_is_not_shown(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.start("one")
    monkeypatch.setenv("MODEL_FILE", str(house.file))
    house.model = replace(house.model, artifact=ReferenceSpec("env", "MODEL_FILE"))
    assert house.start("two") == []
    (notice,) = house.told.standing()
    assert notice.reason.startswith("ps.env('MODEL_FILE') has changed since it was registered")
    assert str(house.file) not in str(notice)


def test_what_has_no_value_is_told_and_its_model_waits(house: House) -> None:
    house.model = replace(house.model, trust=ReferenceSpec("secret", "MODEL_DIGEST"))
    assert house.start("one") == []
    (notice,) = house.told.standing()
    assert notice.reason == "the file of model 'm' is not registered: ps.secret('MODEL_DIGEST') has no value"
    assert notice.place == "app.py:7" and "MODEL_DIGEST" in notice.mend


def test_a_file_that_cannot_be_read_is_told_by_line(house: House) -> None:
    plan = Plan("app", "app.py:app", "code", (), models=(house.model,))
    with pytest.raises(CannotStart, match=r"app\.py:7: the artifact .* cannot be read"):
        list(commands(plan, house.registry, house.artifacts, house.clock, house.told, "keep"))
