"""A file that was removed or replaced is found; what is written to it is not."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.batch import TopicSpec, Write
from penstock.errors import LogGone
from penstock.log.embedded import EmbeddedLog
from penstock.log.processes.in_place import InPlace

ONE = [Write("t", 0, pa.record_batch({"n": pa.array([1], pa.int64())}))]


def test_files_that_stay_are_in_place(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    there = InPlace([tmp_path / "a", tmp_path / "absent"])
    (tmp_path / "a").write_text("more")
    (tmp_path / "absent").write_text("came later")
    there.check()


@pytest.mark.parametrize(("what", "match"), [(Path.unlink, "removed"), (Path.write_text, "replaced")])
def test_one_that_was_removed_or_replaced_is_named(tmp_path: Path, what: Callable[..., object], match: str) -> None:
    file = tmp_path / "a"
    file.write_text("a")
    there = InPlace([file])
    held = file.open()  # its number is not given to another meanwhile
    file.unlink()
    if what is not Path.unlink:
        file.write_text("another")
    with held, pytest.raises(LogGone, match=rf"{file} was {match}"):
        there.check()


def replaced(directory: Path) -> None:
    shutil.copy(directory / "log.db", directory / "copy")
    (directory / "copy").replace(directory / "log.db")


GONE: dict[str, Callable[[Path], object]] = {
    "all": shutil.rmtree,
    "moved": lambda directory: directory.rename(directory.with_name("elsewhere")),
    "file": lambda directory: (directory / "log.db").unlink(),
    "replaced": replaced,
    "wal": lambda directory: (directory / "log.db-wal").unlink(),
}


@pytest.mark.parametrize("how", GONE)
def test_a_log_whose_files_went_stores_nothing_more(tmp_path: Path, how: str) -> None:
    with closing(EmbeddedLog(tmp_path / "data")) as log:
        log.create(TopicSpec("t", pa.schema([("n", pa.int64())]), 1))
        log.append(ONE)
        GONE[how](tmp_path / "data")
        for _ in range(2):
            with pytest.raises(LogGone, match=r"was (removed|replaced) while it was in use"):
                log.append(ONE)


def test_mutant_a_log_that_does_not_look_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(InPlace, "check", lambda _self: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_log_whose_files_went_stores_nothing_more(tmp_path, "all")
