"""Each bug that is planted here turns a test of the exported suite red."""

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
from obstore.store import MemoryStore

from penstock.objects.cloud import Cloud
from penstock.testing import ObjectsContract

SUITE = ObjectsContract()


class Overwrites(Cloud):
    def create(self, name: str, file: Path) -> bool:
        obstore.put(self._store, name, file)
        return True


class FirstPartOnly(Cloud):
    def read(self, name: str) -> Iterator[bytes]:
        yield next(super().read(name))


class ByLetters(Cloud):
    """A prefix is taken for letters, not for whole parts of a name."""

    def names(self, prefix: str) -> Iterator[str]:
        return (name for name in super().names("") if name.startswith(prefix))


def test_a_store_that_overwrites(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="given twice"):
        SUITE.test_a_name_is_given_once(Overwrites(MemoryStore(), "memory://"), tmp_path, 5)
    with pytest.raises(AssertionError, match="8 of 8"):
        SUITE.test_of_many_at_once_one_creates(Overwrites(MemoryStore(), "memory://"), tmp_path)


def test_a_store_that_reads_the_first_part_only(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="not read as it was created"):
        SUITE.test_what_is_created_is_read_as_it_was(FirstPartOnly(MemoryStore(), "memory://"), tmp_path, 9 << 20)


def test_a_store_that_finds_what_is_not_there_later() -> None:
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        SUITE.test_what_is_not_there_is_not_found_at_once(FirstPartOnly(MemoryStore(), "memory://"))


def test_a_store_whose_prefixes_are_letters(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="whole parts of a name"):
        SUITE.test_names_are_those_below_the_prefix(ByLetters(MemoryStore(), "memory://"), tmp_path)
