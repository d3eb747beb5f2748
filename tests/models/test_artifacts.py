"""Bytes under the name of their content."""

import hashlib
import io
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pytest

from penstock.errors import ArtifactDamaged, LogFull, NotFound, TooLarge
from penstock.models import artifacts
from penstock.models.artifacts import Artifacts

BYTES = b"a model" * 1_000
DIGEST = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "artifacts")


def files(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file()]


def test_every_way_of_giving_bytes_has_one_name(store: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(BYTES)
    given: list[Path | bytes | BinaryIO | Iterable[bytes]] = [
        BYTES,
        io.BytesIO(BYTES),
        tmp_path / "m",
        (BYTES[i : i + 10] for i in range(0, len(BYTES), 10)),
    ]
    assert {store.put(g) for g in given} == {DIGEST}
    assert store.checked(DIGEST, model="delay/1").read_bytes() == BYTES
    assert len(files(tmp_path / "artifacts")) == 1


@pytest.mark.parametrize("digest", ["", "ab" * 32, "../../../etc/passwd", DIGEST.upper(), DIGEST + "/"])
def test_what_is_not_there_is_not_found(store: Artifacts, digest: str) -> None:
    store.put(BYTES)
    with pytest.raises(NotFound):
        store.path(digest, model="delay/1")


def test_beyond_the_limit_nothing_is_kept(tmp_path: Path) -> None:
    store = Artifacts(tmp_path, limit=10)
    store.put(b"0123456789")
    with pytest.raises(TooLarge, match="10 bytes"):
        store.put([b"01234", b"56789", b"X"])
    assert len(files(tmp_path)) == 1


def test_without_space_nothing_is_kept(tmp_path: Path, store: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LogFull):
        store.put(BYTES)
    assert files(tmp_path) == []


def damage(store: Artifacts) -> Path:
    path = store.path(store.put(BYTES), model="delay/1")
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(3)
        file.write(b"X")
    return path


def test_one_byte_changed_is_refused(store: Artifacts) -> None:
    damage(store)
    with pytest.raises(ArtifactDamaged) as error:
        store.checked(DIGEST, model="delay/1")
    assert "model delay/1" in str(error.value)
    assert f"registered was sha256:{DIGEST}" in str(error.value)


def test_the_refusal_is_tested(store: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that trusts the name loads the damaged file."""
    damage(store)
    monkeypatch.setattr(artifacts, "verify", lambda path, digest, *, model: path)
    assert store.checked(DIGEST, model="delay/1").read_bytes() != BYTES


def test_registering_again_mends(store: Artifacts) -> None:
    damage(store)
    store.put(BYTES)
    assert store.checked(DIGEST, model="delay/1").read_bytes() == BYTES


def test_an_artifact_removed_meanwhile_is_damaged(store: Artifacts) -> None:
    path = store.path(store.put(BYTES), model="delay/1")
    path.unlink()
    with pytest.raises(ArtifactDamaged, match="is gone"):
        artifacts.verify(path, DIGEST, model="delay/1")


KILLED = """
import os, signal, sys
from pathlib import Path
from penstock.models.artifacts import Artifacts
store = Artifacts(Path(sys.argv[1]))
Path.replace = lambda self, target: os.kill(os.getpid(), signal.SIGKILL)
store.put(b"a model" * 1_000)
"""


def test_killed_before_the_name_is_given_leaves_no_artifact(tmp_path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False, timeout=60)
    assert died.returncode == -signal.SIGKILL
    (left,) = files(tmp_path)
    assert left.parent == tmp_path / "incoming"
    with pytest.raises(NotFound):
        Artifacts(tmp_path).path(DIGEST, model="delay/1")
    os.utime(left, (0, 0))
    Artifacts(tmp_path)
    assert files(tmp_path) == []


def test_bytes_reach_the_disk_before_their_name(store: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of the acts: the content, the name, the directories that hold the name."""
    done = []
    fsync, replace = os.fsync, Path.replace

    def record_fsync(handle: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")
        fsync(handle)

    def record_replace(self: Path, target: Path) -> Path:
        done.append("name")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", record_fsync)
    monkeypatch.setattr(Path, "replace", record_replace)
    store.put(BYTES)
    assert done == ["content", "name", "directory", "directory"]
