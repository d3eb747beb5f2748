"""The secret that has code taken: whose it is, who finds it, and when it is none any more."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from penstock import tokens
from penstock.errors import Forbidden


@pytest.fixture
def data(tmp_path: Path) -> Path:
    tokens.path_in(tmp_path).parent.mkdir()
    tokens.make(tokens.path_in(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)


def test_a_secret_is_long_new_each_time_and_its_owners_alone(data: Path) -> None:
    path = tokens.path_in(data)
    before = tokens.read(path)
    umask = os.umask(0)
    try:
        after = tokens.make(path)
    finally:
        os.umask(umask)
    assert tokens.read(path) == after != before and len(bytes.fromhex(after)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["token"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o644])
def test_a_secret_that_others_may_read_is_none(data: Path, mode: int) -> None:
    tokens.path_in(data).chmod(mode)
    with pytest.raises(Forbidden, match=f"open to others.*{mode:o}.*start `penstock run` again"):
        tokens.read(tokens.path_in(data))
    with pytest.raises(Forbidden, match="open to others"):
        tokens.find("http://127.0.0.1:1", data)


def test_a_secret_of_another_user_is_none(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(Forbidden, match="not a file of this user's"):
        tokens.read(tokens.path_in(data))


def test_neither_links_nor_folders_are_followed(data: Path) -> None:
    path = tokens.path_in(data)
    path.rename(data / "elsewhere")
    path.symlink_to(data / "elsewhere")
    with pytest.raises(Forbidden, match="cannot be read"):
        tokens.read(path)
    path.unlink()
    path.mkdir(mode=0o700)
    with pytest.raises(Forbidden, match="not a file of this user"):
        tokens.read(path)


def test_what_shows_it(data: Path) -> None:
    path = tokens.path_in(data)
    secret = tokens.read(path)
    for shown in (f"Bearer {secret}", f"bearer  {secret}"):
        assert tokens.is_shown(shown, path)
    for other in ("", secret, f"Basic {secret}", "Bearer", "Bearer ", f"Bearer {secret[:-1]}", "Bearer é", "Bearer \0"):
        assert not tokens.is_shown(other, path)


def test_an_empty_file_is_shown_by_nobody(data: Path) -> None:
    tokens.path_in(data).write_text("")
    with pytest.raises(Forbidden, match="holds no secret"):
        tokens.is_shown("Bearer ", tokens.path_in(data))


@pytest.mark.parametrize(
    ("host", "urls"),
    [
        ("127.0.0.1", ["http://127.0.0.1:8000", "http://localhost:8000/", "http://LOCALHOST:8000"]),
        ("::1", ["http://[::1]:8000", "http://[0:0::1]:8000", "http://localhost:8000"]),
    ],
)
def test_it_is_found_by_the_address_while_the_server_is_there(host: str, urls: list[str]) -> None:
    with tokens.announced(host, 8000, "a" * 64):
        for url in urls:
            assert tokens.find(url) == "a" * 64
        for url in (
            "http://127.0.0.1:8001",
            "http://127.0.0.2:8000",
            "http://10.0.0.1:8000",
            "http://example.org:8000",
        ):
            assert tokens.find(url) is None
    assert tokens.find(urls[0]) is None


def test_a_directory_is_told_by_hand_or_in_the_environment(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, url = tokens.read(tokens.path_in(data)), "http://127.0.0.1:8000"
    assert tokens.find(url, data) == secret
    assert tokens.find("http://example.org", data) is None, "it never leaves the machine"
    assert tokens.find(url) is None
    monkeypatch.setenv("PENSTOCK_DATA", str(data))
    assert tokens.find(url) == secret
    with tokens.announced("127.0.0.1", 8000, "b" * 64):
        assert tokens.find(url) == "b" * 64, "the environment may be of another server"
        assert tokens.find(url, data) == secret


def test_the_next_server_at_an_address_is_not_silenced_by_the_last() -> None:
    with tokens.announced("127.0.0.1", 8000, "a" * 64):
        following = tokens.announced("127.0.0.1", 8000, "b" * 64)
        following.__enter__()
    assert tokens.find("http://127.0.0.1:8000") == "b" * 64
    following.__exit__(None, None, None)


def test_a_folder_that_somebody_else_made_is_not_trusted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "tmp" / f"penstock-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with tokens.announced("127.0.0.1", 8000, "a" * 64):
        assert list(folder.iterdir()) == [], "the secret is not put where others could look"
        (folder / "127.0.0.1:8000").write_text("planted\n")
        (folder / "127.0.0.1:8000").chmod(0o600)
        assert tokens.find("http://127.0.0.1:8000") is None, "and none is taken from there"
