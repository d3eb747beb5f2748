"""A damaged log repaired: what was sound is in its place, and what was not is told to caller and readers."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.log.test_damage import EXPECTED, FILES, check, copied, flip, images, rows, tamper

from penstock.batch import Write
from penstock.errors import Corrupt, LogUnusable
from penstock.log import repair as module
from penstock.log.embedded import EmbeddedLog
from penstock.log.repair import Loss, Repair, repair
from penstock.log.sqlite.store.tables import key

__all__ = ["images"]


def check_repaired(directory: Path, done: Repair) -> None:
    """Every event is there or told as lost; nothing raises any more, and the log takes new ones."""
    gone = {(loss.partition, n) for loss in done.losses if loss.topic == "t" for n in range(loss.first, loss.last + 1)}
    with closing(EmbeddedLog(directory)) as log:
        log.append([Write("t", 0, rows(9_000))])
        reader = log.reader(None, ["t"], "m")
        found: dict[int, list[int]] = {}
        markers = 0
        while batches := reader.read(10_000, 0):
            for batch in batches:
                found.setdefault(batch.partition, []).extend(batch.rows.column("n").to_pylist())
                markers += len(batch.rejected)
        assert found[0][-40:] == list(range(9_000, 9_040))
        found[0] = found[0][:-40]
        for partition, numbers in found.items():
            assert numbers == [n for n in EXPECTED[partition] if (partition, n) not in gone][: len(numbers)]
            missing = len(EXPECTED[partition]) - len(numbers)
            assert missing == len([1 for p, _ in gone if p == partition])
        assert markers == len([loss for loss in done.losses if loss.topic == "t"])


def test_a_lost_batch_becomes_a_marker(images: dict[str, Path], tmp_path: Path) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    tamper(directory, lambda db: db.execute("DELETE FROM batch WHERE id = ?", (key(2, 80),)))  # type: ignore[attr-defined]
    tamper(directory, lambda db: db.execute("UPDATE batch SET crc = 0 WHERE id = ?", (key(3, 440),)))  # type: ignore[attr-defined]
    done = repair(directory)
    assert [(x.partition, x.first, x.last) for x in done.losses] == [(1, 80, 119), (2, 440, 479)], "a loss is not told"
    assert done.events == 3 * 480 + 40 - 80
    assert (done.kept / "log.db").exists()
    check_repaired(directory, done)


def test_a_sound_log_loses_nothing(images: dict[str, Path], tmp_path: Path) -> None:
    for image in ("closed", "crashed"):
        directory = copied(images[image], tmp_path / image)
        done = repair(directory)
        assert done.losses == [] and done.notes == []
        check_repaired(directory, done)
        with closing(EmbeddedLog(directory)) as log:
            positions = {s.partition: s.through for s in log.groups() if s.topic == "t"}
            assert positions == {0: 240, 1: 240, 2: 240}, "a group does not go on where it was"


@pytest.mark.parametrize("seed", range(3))
def test_flipped_bits(images: dict[str, Path], tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    size = (images["closed"] / "log.db").stat().st_size
    repaired = 0
    for block in range(4_096, size, 3 * 4_096):
        directory = copied(images["closed"], tmp_path / "log")
        flip(directory / "log.db", block + chance.randrange(4_096), chance.randrange(8))
        if check(directory) == "whole":
            continue
        try:
            done = repair(directory)
        except LogUnusable as error:
            assert "list of topics" in str(error) or "damaged" in str(error)
            continue
        if not done.notes:
            check_repaired(directory, done)
            repaired += 1
    assert repaired


def test_a_log_in_use_is_left_alone(images: dict[str, Path], tmp_path: Path) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    with closing(EmbeddedLog(directory)), pytest.raises(LogUnusable, match="in use by process"):
        repair(directory)
    assert FILES[0] in {path.name for path in directory.iterdir()}


# -- mutants ------------------------------------------------------------------


def test_a_repair_that_believes_every_checksum_is_caught(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "sound", lambda row: True)
    with pytest.raises(AssertionError, match="a loss is not told"):
        test_a_lost_batch_becomes_a_marker(images, tmp_path)


def test_a_loss_without_a_marker_is_caught(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell_only(self: Any, topic: str, row: Any, first: int, end: int, time: int) -> None:
        if first < end:
            self._done.losses.append(Loss(topic, row.number, first, end - 1))

    monkeypatch.setattr(module._Rescue, "_mark", tell_only)
    with pytest.raises(Corrupt, match="damaged"):
        test_a_lost_batch_becomes_a_marker(images, tmp_path)


def test_positions_of_groups_that_are_left_behind_are_caught(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = module._Rescue._copy

    def copy(self: Any, table: str, columns: str, fits: Any) -> None:
        if table != "position":
            plain(self, table, columns, fits)

    monkeypatch.setattr(module._Rescue, "_copy", copy)
    with pytest.raises(AssertionError, match="a group does not go on where it was"):
        test_a_sound_log_loses_nothing(images, tmp_path)


def test_a_repair_of_a_log_in_use_is_caught(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "refuse_running", lambda directory: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_log_in_use_is_left_alone(images, tmp_path)
