"""Artifacts that hosts share. A host is a folder of its own; what they share is a folder, or a bucket on moto."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from penstock.errors import ArtifactDamaged, NotFound, StoreError, StoreUnreachable
from penstock.models import shared
from penstock.models.artifacts import Artifacts
from penstock.models.shared import SharedArtifacts, trim
from penstock.objects.cloud import Cloud
from penstock.objects.folder import Folder
from penstock.objects.interface import Objects

BYTES = b"a model" * 1_000
DIGEST = hashlib.sha256(BYTES).hexdigest()
NAME = f"sha256/{DIGEST[:2]}/{DIGEST}"


@pytest.fixture
def share(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


@pytest.fixture(params=["folder", "moto"])
def store(request: pytest.FixtureRequest, share: Path) -> Objects:
    return Folder(share) if request.param == "folder" else Cloud.at(f"{request.getfixturevalue('bucket')}/models")


def artifacts(root: Path) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and p.suffix != ".lock"]


def damage(share: Path) -> None:
    (share / NAME).chmod(0o600)
    (share / NAME).write_bytes(BYTES[:-1] + b"X")


class Counted(Folder):
    """How often something was asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads = 0

    def read(self, name: str) -> Iterator[bytes]:
        self.reads += 1
        return super().read(name)


class Away(Folder):
    """Does not answer once ``away`` is set."""

    away = False

    def create(self, name: str, file: Path) -> bool:
        self._look()
        return super().create(name, file)

    def read(self, name: str) -> Iterator[bytes]:
        self._look()
        return super().read(name)

    def names(self, prefix: str) -> Iterator[str]:
        self._look()
        return super().names(prefix)

    def _look(self) -> None:
        if self.away:
            raise StoreUnreachable(f"{self.place} does not answer")


def test_what_one_host_puts_another_has(store: Objects, tmp_path: Path) -> None:
    one, other = SharedArtifacts(tmp_path / "one", store), SharedArtifacts(tmp_path / "other", store)
    assert one.put(BYTES) == DIGEST
    assert list(store.names("")) == [NAME]
    assert other.path(DIGEST, model="delay/1").read_bytes() == BYTES
    assert other.checked(DIGEST, model="delay/1").is_relative_to(tmp_path / "other")


def test_the_same_again_changes_nothing(store: Objects, tmp_path: Path) -> None:
    one, other = SharedArtifacts(tmp_path / "one", store), SharedArtifacts(tmp_path / "other", store)
    assert {host.put(BYTES) for host in (one, one, other)} == {DIGEST}
    assert list(store.names("")) == [NAME]
    assert b"".join(store.read(NAME)) == BYTES


@pytest.mark.parametrize("digest", ["", "ab" * 32, "../../../etc/passwd", DIGEST.upper(), DIGEST + "/"])
def test_what_nobody_put_is_not_found(store: Objects, tmp_path: Path, digest: str) -> None:
    with pytest.raises(NotFound, match=r"^model delay/1: "):
        SharedArtifacts(tmp_path / "one", store).path(digest, model="delay/1")
    assert artifacts(tmp_path / "one") == []


def test_what_is_here_is_read_from_here(share: Path, tmp_path: Path) -> None:
    SharedArtifacts(tmp_path / "one", Folder(share)).put(BYTES)
    store = Counted(share)
    host = SharedArtifacts(tmp_path / "other", store)
    assert len({host.path(DIGEST, model="delay/1") for _ in range(3)}) == 1
    assert store.reads == 1


def test_a_host_fetches_once_for_all_who_wait(share: Path, tmp_path: Path) -> None:
    SharedArtifacts(tmp_path / "one", Folder(share)).put(BYTES)
    store = Counted(share)
    hosts = [SharedArtifacts(tmp_path / "other", store) for _ in range(8)]
    together = threading.Barrier(8)

    def fetch(host: SharedArtifacts) -> Path:
        together.wait(60)
        return host.path(DIGEST, model="delay/1")

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(fetch, hosts))) == 1
    assert store.reads == 1


# -- damage -------------------------------------------------------------------


def test_a_damaged_object_is_refused(share: Path, tmp_path: Path) -> None:
    SharedArtifacts(tmp_path / "one", Folder(share)).put(BYTES)
    damage(share)
    host = SharedArtifacts(tmp_path / "other", Folder(share))
    for ask in (host.path, host.checked):
        with pytest.raises(ArtifactDamaged) as error:
            ask(DIGEST, model="delay/1")
        assert str(error.value).startswith(f"model delay/1: the artifact {share.as_uri()}/{NAME} has sha256:")
        assert f"registered was sha256:{DIGEST}" in str(error.value)
    assert artifacts(tmp_path / "other") == []


def test_the_refusal_is_tested(share: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that believes the store gives the damaged bytes a name."""
    monkeypatch.setattr(shared, "_same", lambda digest, where, model, found: None)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_damaged_object_is_refused(share, tmp_path)


def test_an_object_cut_short_is_refused(share: Path, tmp_path: Path) -> None:
    SharedArtifacts(tmp_path / "one", Folder(share)).put(BYTES)
    (share / NAME).chmod(0o600)
    os.truncate(share / NAME, 100)
    with pytest.raises(ArtifactDamaged):
        SharedArtifacts(tmp_path / "other", Folder(share)).path(DIGEST, model="delay/1")


def test_an_object_that_is_far_too_large_is_damaged(share: Path, tmp_path: Path) -> None:
    SharedArtifacts(tmp_path / "one", Folder(share)).put(BYTES)
    with pytest.raises(ArtifactDamaged, match="may have 100 bytes"):
        SharedArtifacts(tmp_path / "other", Folder(share), limit=100).path(DIGEST, model="delay/1")


def test_nothing_is_accepted_onto_a_damaged_object(share: Path, tmp_path: Path) -> None:
    host = SharedArtifacts(tmp_path / "one", Folder(share))
    host.put(BYTES)
    damage(share)
    with pytest.raises(ArtifactDamaged, match="delete that object and try again"):
        host.put(BYTES)
    (share / NAME).unlink()
    host.put(BYTES)
    assert SharedArtifacts(tmp_path / "other", Folder(share)).path(DIGEST, model="delay/1").read_bytes() == BYTES


# -- a store that is away -----------------------------------------------------


def test_what_is_here_is_there_while_the_store_is_away(share: Path, tmp_path: Path) -> None:
    store = Away(share)
    host = SharedArtifacts(tmp_path / "one", store)
    host.put(BYTES)
    store.away = True
    assert host.checked(DIGEST, model="delay/1").read_bytes() == BYTES


def test_while_the_store_is_away_nothing_is_accepted(share: Path, tmp_path: Path) -> None:
    store = Away(share)
    host, other = SharedArtifacts(tmp_path / "one", store), SharedArtifacts(tmp_path / "other", Folder(share))
    store.away = True
    with pytest.raises(StoreUnreachable, match="does not answer"):
        host.put(BYTES)
    with pytest.raises(NotFound):
        other.path(DIGEST, model="delay/1")
    store.away = False
    assert host.put(BYTES) == DIGEST
    assert other.path(DIGEST, model="delay/1").read_bytes() == BYTES


def test_what_cannot_be_fetched_names_the_model(share: Path, tmp_path: Path) -> None:
    store = Away(share)
    store.away = True
    with pytest.raises(StoreUnreachable, match=r"^model delay/1: its artifact is not on this host, and file://.* does"):
        SharedArtifacts(tmp_path / "one", store).path(DIGEST, model="delay/1")


# -- kills --------------------------------------------------------------------

# Every call by which ``put`` changes something; the process is killed before the nth.
KILLED = """
import os, signal, sys, tempfile
from pathlib import Path
from penstock.models.shared import SharedArtifacts
from penstock.objects.folder import Folder
left = int(sys.argv[3])

def counted(act):
    def do(*given, **named):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return act(*given, **named)
    return do

host = SharedArtifacts(Path(sys.argv[1]), Folder(Path(sys.argv[2])))
steps = {tempfile: ["mkstemp"], os: ["fchmod", "fsync", "link"], Path: ["mkdir", "unlink", "replace", "chmod"]}
for owner, names in steps.items():
    for name in names:
        setattr(owner, name, counted(getattr(owner, name)))
print(host.put(b"a model" * 1_000), flush=True)
"""

# The answer before the store has it.
TOO_EARLY = """
SharedArtifacts._share, share = lambda *given: None, SharedArtifacts._share
put = SharedArtifacts.put
def answers_first(self, source):
    print(digest := put(self, source), flush=True)
    share(self, digest, self._place(digest))
    return digest
SharedArtifacts.put = answers_first
"""


def killed_at_every_step(folder: Path, planted: str = "") -> None:
    """After each kill: nobody sees half an artifact, what was answered is there, and a repeat mends the rest."""
    script = KILLED.replace("host = ", f"{planted}\nhost = ", 1)
    for step in range(40):
        share, cache = folder / f"share-{step}", folder / f"cache-{step}"
        share.mkdir()
        died = subprocess.run(
            [sys.executable, "-c", script, str(cache), str(share), str(step)],
            check=False,
            timeout=120,
            stdout=subprocess.PIPE,
            text=True,
        )
        other = SharedArtifacts(folder / f"other-{step}", Folder(share))
        if there := list(Folder(share).names("")):
            assert there == [NAME]
        if died.stdout or there:
            assert other.checked(DIGEST, model="delay/1").read_bytes() == BYTES
        SharedArtifacts(cache, Folder(share)).put(BYTES)
        assert other.checked(DIGEST, model="delay/1").read_bytes() == BYTES
        if died.returncode == 0:
            assert step > 10
            return
        assert died.returncode == -signal.SIGKILL
    raise AssertionError("it never came to its end")


def test_killed_at_every_step_of_a_put(tmp_path: Path) -> None:
    killed_at_every_step(tmp_path)


def test_an_answer_before_the_store_has_it_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        killed_at_every_step(tmp_path, TOO_EARLY)


# -- what a host had before, and what it keeps --------------------------------


def test_what_a_host_registered_without_a_store_is_shared(store: Objects, tmp_path: Path) -> None:
    before = Artifacts(tmp_path / "before")
    digests = {before.put(content) for content in (BYTES, b"another")}
    SharedArtifacts(tmp_path / "one", store).put(BYTES)
    SharedArtifacts(tmp_path / "one", store).take_in(before)
    other = SharedArtifacts(tmp_path / "other", store)
    assert {other.checked(digest, model="delay/1").read_bytes() for digest in digests} == {BYTES, b"another"}


def test_what_is_damaged_is_not_shared(store: Objects, tmp_path: Path) -> None:
    before = Artifacts(tmp_path / "before")
    path = before.path(before.put(BYTES), model="delay/1")
    path.chmod(0o600)
    path.write_bytes(b"X")
    SharedArtifacts(tmp_path / "one", store).take_in(before)
    assert list(store.names("")) == []


def test_a_store_that_cannot_be_used_is_told_at_the_start(share: Path, tmp_path: Path) -> None:
    store = Away(share)
    store.away = True
    with pytest.raises(StoreError):
        SharedArtifacts(tmp_path / "one", store).take_in(Artifacts(tmp_path / "before"))


def test_what_was_used_last_is_kept(share: Path, tmp_path: Path) -> None:
    host = SharedArtifacts(tmp_path / "one", Folder(share))
    digests = [host.put(bytes([n]) * 100) for n in range(4)]
    for n, digest in enumerate(digests):
        os.utime(host.path(digest, model="m/1"), (n, n))
    host.path(digests[0], model="m/1")
    trim(tmp_path / "one", 250)
    assert set(host.digests()) == {digests[0], digests[3]}
    assert host.path(digests[1], model="m/1").read_bytes() == b"\x01" * 100  # fetched again


def test_within_its_bound_everything_is_kept(share: Path, tmp_path: Path) -> None:
    trim(tmp_path / "one", 1)
    host = SharedArtifacts(tmp_path / "one", Folder(share))
    digests = {host.put(bytes([n]) * 100) for n in range(4)}
    trim(tmp_path / "one", 400)
    assert set(host.digests()) == digests
