"""What all object storage promises. Subclass ``ObjectsContract`` in a pytest file and say how to open yours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..errors import NotFound
from ..objects.interface import Objects

SIZES = (0, 1, 1 << 20, 9 << 20, 33 << 20)  # around where backends begin to read and write in parts


class ObjectsContract:
    """Every test opens an empty store with ``objects``."""

    @pytest.fixture
    def objects(self, tmp_path: Path) -> Objects:
        raise NotImplementedError

    def again(self, objects: Objects, tmp_path: Path) -> Objects:
        """The same store once more, as another host has it; itself where there can be no other."""
        return objects

    @pytest.mark.parametrize("size", SIZES)
    def test_what_is_created_is_read_as_it_was(self, objects: Objects, tmp_path: Path, size: int) -> None:
        content = (bytes(range(256)) * (size // 256 + 1))[:size]
        assert objects.create("a/b-1.bin", written(tmp_path, content))
        assert b"".join(self.again(objects, tmp_path).read("a/b-1.bin")) == content, "it is not read as it was created"

    @pytest.mark.parametrize("size", [5, 33 << 20])
    def test_a_name_is_given_once(self, objects: Objects, tmp_path: Path, size: int) -> None:
        assert objects.create("a", written(tmp_path, b"x" * size))
        assert not self.again(objects, tmp_path).create("a", written(tmp_path, b"y" * size)), "a name is given twice"
        assert b"".join(objects.read("a")) == b"x" * size

    def test_of_many_at_once_one_creates(self, objects: Objects, tmp_path: Path) -> None:
        files = [written(tmp_path, bytes([n]) * 1_000, f"f{n}") for n in range(8)]
        with ThreadPoolExecutor(8) as threads:
            created = list(threads.map(lambda file: objects.create("one", file), files))
        assert created.count(True) == 1, f"{created.count(True)} of 8 have created it"
        assert b"".join(objects.read("one")) == files[created.index(True)].read_bytes()

    def test_what_is_not_there_is_not_found_at_once(self, objects: Objects) -> None:
        with pytest.raises(NotFound, match="a/b"):
            objects.read("a/b")

    def test_names_are_those_below_the_prefix(self, objects: Objects, tmp_path: Path) -> None:
        there = {"a/b/c", "a/d", "ab/e", "f"}
        for name in there:
            objects.create(name, written(tmp_path, b"x"))
        assert set(objects.names("a")) == {"a/b/c", "a/d"}, "a prefix is whole parts of a name"
        assert set(objects.names("")) == there
        assert list(objects.names("nothing")) == []

    def test_a_file_that_cannot_be_read_leaves_nothing(self, objects: Objects, tmp_path: Path) -> None:
        with pytest.raises(Exception, match="gone"):
            objects.create("a", tmp_path / "gone")
        assert list(objects.names("")) == []


def written(folder: Path, content: bytes, name: str = "file") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path
