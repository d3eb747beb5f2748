"""Bits flipped and files cut short: found, told with their place, and never skipped in silence."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.errors import Corrupt, LogUnusable
from penstock.log.embedded import EmbeddedLog
from penstock.log.interface import Advance, Seek
from penstock.log.sqlite import fetching
from penstock.log.sqlite.store.tables import key

NUMBERS = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("text", pa.string())])
PARTITIONS, BATCHES, ROWS = 3, 12, 40
Rows = dict[int, list[int]]
EXPECTED: Rows = {p: list(range(BATCHES * ROWS)) for p in range(PARTITIONS)}


def rows(first: int, count: int = ROWS) -> pa.RecordBatch:
    ns = range(first, first + count)
    return pa.record_batch({"n": pa.array(ns, pa.int64()), "text": [f"row {n}" * 3 for n in ns]}, schema=NUMBERS)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The files of a log that was closed, and of one whose process died with everything still in the WAL."""
    folder = tmp_path_factory.mktemp("images")
    log = EmbeddedLog(folder / "live")
    log.create(TopicSpec("t", NUMBERS, PARTITIONS))
    log.create(TopicSpec("other", NUMBERS, 1))
    reader = log.reader("g", ["t"], "m")
    for n in range(BATCHES):
        log.append([Write("t", p, rows(n * ROWS)) for p in range(PARTITIONS)])
    half = {b.partition: int(b.positions[len(b) // 2]) for b in reader.read(10_000, 0)}
    reader.commit([Advance("t", p, at) for p, at in half.items()], [Write("other", 0, rows(0))])
    shutil.copytree(folder / "live", folder / "crashed", ignore=shutil.ignore_patterns("members", "wake", "*.sock"))
    log.close()
    shutil.copytree(folder / "live", folder / "closed", ignore=shutil.ignore_patterns("members", "wake", "*.sock"))
    return {"crashed": folder / "crashed", "closed": folder / "closed"}


def examine(directory: Path) -> tuple[Rows, dict[int, Corrupt], LogUnusable | None]:
    """All that reads, the partitions that say they are damaged, and whether the log as a whole does."""
    found: Rows = {}
    damaged: dict[int, Corrupt] = {}
    try:
        log = EmbeddedLog(directory)
    except LogUnusable as error:
        return found, damaged, error
    try:
        reader = log.reader(None, ["t"], "m")
        for _ in range(100):
            try:
                batches = reader.read(1_000, 0)
            except Corrupt as error:
                damaged[error.partition] = error
                continue
            if not batches:
                break
            for batch in batches:
                texts = [f"row {n}" * 3 for n in batch.positions.tolist()]
                assert batch.rows.column("text").to_pylist() == texts, "rows were changed"
                found.setdefault(batch.partition, []).extend(batch.rows.column("n").to_pylist())
        positions = {s.partition: s.through for s in log.groups() if s.topic == "t"}
        assert set(positions) == set(range(PARTITIONS))
        assert all(found.get(p) == EXPECTED[p] for p in positions if p not in damaged), "silently skipped"
    except (LogUnusable, Corrupt) as error:
        return found, damaged, LogUnusable(str(error))
    finally:
        log.close()
    return found, damaged, None


def check(directory: Path) -> str:
    """Whole, or what is not whole was told: where it is, and only what comes before it was served."""
    found, damaged, unusable = examine(directory)
    if unusable is not None:
        assert "penstock repair" in str(unusable) or "not a Penstock log" in str(unusable) or "restore" in str(unusable)
    for partition, rows_found in found.items():
        assert rows_found == EXPECTED[partition][: len(rows_found)], "rows were changed or skipped"
    if unusable is None:
        for partition in set(EXPECTED) - set(damaged):
            assert found.get(partition) == EXPECTED[partition], "rows are missing and nothing said so"
        for partition, error in damaged.items():
            assert error.position == len(found.get(partition, [])), "the place told is not where reading stopped"
    return "unusable" if unusable else "damaged" if damaged else "whole"


def copied(image: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(image, to)
    return to


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))


def flip_all(image: Path, scratch: Path, files: list[str], step: int, seed: int) -> dict[str, int]:
    outcomes: dict[str, int] = {}
    chance = random.Random(seed)
    for name in files:
        size = (image / name).stat().st_size if (image / name).exists() else 0
        for block in range(0, size, 4_096 * step):
            directory = copied(image, scratch)
            at, bit = min(size - 1, block + chance.randrange(4_096)), chance.randrange(8)
            flip(directory / name, at, bit)
            try:
                outcome = check(directory)
            except Exception as error:
                raise AssertionError(f"bit {bit} of byte {at} of {name}: {error!r}") from error
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    return outcomes


FILES = ["log.db", "log.db-wal", "log.db-shm", "write.lock"]


@pytest.mark.parametrize("image", ["closed", "crashed"])
def test_a_flipped_bit_is_found_or_harmless(images: dict[str, Path], image: str, tmp_path: Path) -> None:
    outcomes = flip_all(images[image], tmp_path / "log", FILES, 2, seed=1)
    assert outcomes.get("damaged", 0) + outcomes.get("unusable", 0) > 5


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("image", ["closed", "crashed"])
def test_many_flipped_bits(images: dict[str, Path], image: str, tmp_path: Path, seed: int) -> None:
    flip_all(images[image], tmp_path / "log", FILES, 1, seed)


@pytest.mark.parametrize("image", ["closed", "crashed"])
@pytest.mark.parametrize("points", [12, pytest.param(200, marks=pytest.mark.soak)])
def test_a_file_cut_short_is_found(images: dict[str, Path], image: str, points: int, tmp_path: Path) -> None:
    for name in ("log.db", "log.db-wal"):
        size = (images[image] / name).stat().st_size if (images[image] / name).exists() else 0
        for point in range(points if size else 0):
            directory = copied(images[image], tmp_path / "log")
            with (directory / name).open("r+b") as file:
                file.truncate(size * point // points)
            check(directory)


def test_mutant_without_checksums_lets_damage_through(
    images: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trusting(_schema: object, row: tuple[int, ...], _expected: int) -> pa.RecordBatch:
        return pa.ipc.read_record_batch(pa.py_buffer(row[6]), NUMBERS)

    monkeypatch.setattr(fetching, "_decoded", trusting)
    with pytest.raises(AssertionError, match="rows were changed"):
        for seed in range(5):
            flip_all(images["closed"], tmp_path / "log", ["log.db"], 1, seed)


def tamper(directory: Path, change: Callable[[object], None]) -> None:
    import apsw

    db = apsw.Connection(str(directory / "log.db"))
    change(db)
    db.close()


def test_a_damaged_batch_stays_put_the_rest_is_served_and_a_seek_goes_past_it(
    images: dict[str, Path], tmp_path: Path
) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    at = 5 * ROWS
    tamper(directory, lambda db: db.execute("UPDATE batch SET time = time + 1 WHERE id = ?", (key(2, at),)))  # type: ignore[attr-defined]
    log = EmbeddedLog(directory)
    reader = log.reader("fresh", ["t"], "m")
    found: Rows = {}
    told = []
    for _ in range(20):
        try:
            for batch in reader.read(500, 0):
                found.setdefault(batch.partition, []).extend(batch.rows.column("n").to_pylist())
        except Corrupt as error:
            told.append((error.topic, error.partition, error.position))
    assert told == [("t", 1, at)]
    assert found == {**EXPECTED, 1: EXPECTED[1][:at]}
    reader.seek(Seek("t", 1, at + ROWS))
    (batch,) = reader.read(10_000, 0)
    assert batch.rows.column("n").to_pylist() == EXPECTED[1][at + ROWS :]
    log.close()


def test_a_batch_that_is_gone_is_not_skipped(images: dict[str, Path], tmp_path: Path) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    tamper(directory, lambda db: db.execute("DELETE FROM batch WHERE id = ?", (key(1, 3 * ROWS),)))  # type: ignore[attr-defined]
    assert check(directory) == "damaged"
    found, damaged, _ = examine(directory)
    assert found[0] == EXPECTED[0][: 3 * ROWS] and damaged[0].position == 3 * ROWS


def test_a_damaged_position_is_told_and_mended_by_a_seek(images: dict[str, Path], tmp_path: Path) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    tamper(directory, lambda db: db.execute("UPDATE position SET through = through + 1 WHERE tp = 1"))  # type: ignore[attr-defined]
    log = EmbeddedLog(directory)
    reader = log.reader("g", ["t"], "m")
    told = []
    for _ in range(10):
        try:
            reader.read(10_000, 0)
        except Corrupt as error:
            told.append(error.partition)
    assert told == [0]
    reader.seek(Seek("t", 0, 7))
    assert reader.read(10_000, 0)[0].positions[0] == 7
    log.close()


def test_a_missing_log_file_is_not_begun_anew(images: dict[str, Path], tmp_path: Path) -> None:
    directory = copied(images["closed"], tmp_path / "log")
    (directory / "log.db").unlink()
    with pytest.raises(LogUnusable, match="missing"):
        EmbeddedLog(directory)
