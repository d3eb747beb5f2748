"""Certificates are renewed under open doors: what fits is taken up, what does not changes nothing and is told."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread

import pytest
from tests.certificates import Issuer, Pair
from tests.gateway.test_server import Running, answer, running

from penstock.clock import ManualClock, SystemClock
from penstock.gateway.tls import renewal
from penstock.gateway.tls.certificates import TLSFiles, load
from penstock.gateway.tls.renewal import WARN_S, Certificates
from penstock.notices import Notices
from penstock.settings import Settings

DAY_S = 86_400.0
WHO = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Watched:
    """Files that are renewed, and what is made of them."""

    def __init__(self, folder: Path, pair: Pair, clock: ManualClock | SystemClock | None = None) -> None:
        self.files = TLSFiles(folder / "tls.crt", folder / "tls.key")
        pair.put(*self.files.paths)
        self.told = Notices()
        self.certificates = Certificates(self.files, clock or SystemClock(), self.told)

    def look(self, times: int = 2) -> bool:
        """Is there another one in force?"""
        before = self.certificates.context
        for _ in range(times):
            self.certificates.look()
        return self.certificates.context is not before

    @property
    def said(self) -> list[str]:
        return [notice.reason for notice in self.told.standing()]


@pytest.fixture
def watched(tmp_path: Path, pair: Pair) -> Watched:
    return Watched(tmp_path, pair)


@pytest.fixture(scope="module")
def newer(issuer: Issuer) -> Pair:
    return issuer.issue("/CN=newer")


def test_nothing_new_changes_nothing(watched: Watched) -> None:
    assert not watched.look(5) and watched.said == []


def test_a_new_pair_is_taken_up_once_it_stands_still(watched: Watched, newer: Pair) -> None:
    newer.put(*watched.files.paths)
    assert not watched.look(1), "it may be half written"
    assert watched.look(1) and not watched.look(5) and watched.said == []


def test_half_of_a_pair_changes_nothing_and_is_told(watched: Watched, newer: Pair) -> None:
    watched.files.certificate.write_bytes(newer.certificate.read_bytes())
    assert not watched.look(5), "a pair that does not fit is taken up"
    (said,) = watched.said
    assert said.startswith("the new TLS certificate is not used, and the one before goes on: the private key")
    watched.files.key.write_bytes(newer.key.read_bytes())
    assert watched.look() and watched.said == [], "what was mended is told still"


def test_what_cannot_be_read_changes_nothing_and_is_told(watched: Watched, pair: Pair, issuer: Issuer) -> None:
    for break_it in (
        watched.files.key.unlink,
        lambda: watched.files.certificate.write_text("nonsense"),
        lambda: issuer.issue(begins=timedelta(days=-9), ends=timedelta(days=-1)).put(*watched.files.paths),
    ):
        break_it()
        assert not watched.look(3) and len(watched.said) == 1
        pair.put(*watched.files.paths)
        assert watched.look() and watched.said == []


def test_a_link_that_is_turned_is_a_renewal(tmp_path: Path, pair: Pair, newer: Pair) -> None:
    """As Kubernetes does it: the files are links through ``..data``, which leads to a folder."""
    for name, each in (("..first", pair), ("..second", newer)):
        (tmp_path / name).mkdir()
        each.put(tmp_path / name / "tls.crt", tmp_path / name / "tls.key")
    data = tmp_path / "..data"
    data.symlink_to("..first")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    certificates = Certificates(TLSFiles(tmp_path / "tls.crt", tmp_path / "tls.key"), SystemClock(), Notices())
    before = certificates.context
    (tmp_path / "..draft").symlink_to("..second")
    (tmp_path / "..draft").replace(data)
    certificates.look()
    certificates.look()
    assert certificates.context is not before, "a link that is turned is not seen"


def test_mutant_that_looks_at_links_alone_is_caught(
    tmp_path: Path, pair: Pair, newer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "_stamp", lambda path: path.lstat().st_ino)
    with pytest.raises(AssertionError, match="a link that is turned is not seen"):
        test_a_link_that_is_turned_is_a_renewal(tmp_path, pair, newer)


def test_mutant_that_takes_up_what_does_not_fit_is_caught(
    watched: Watched, newer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewal, "load", lambda _files: load(TLSFiles(newer.certificate, newer.key)))
    with pytest.raises(AssertionError, match="a pair that does not fit is taken up"):
        test_half_of_a_pair_changes_nothing_and_is_told(watched, newer)


# -- the end of its time ------------------------------------------------------


def on(seconds_from_now: float) -> ManualClock:
    return ManualClock(SystemClock().now() + round(seconds_from_now * 1e6))


def test_the_end_is_told_some_days_before(tmp_path: Path, pair: Pair, newer: Pair) -> None:
    clock = on(0)
    watched = Watched(tmp_path, pair, clock)
    assert watched.said == []
    clock.advance(90 * DAY_S - WARN_S + 60)
    watched.look()
    assert [said[:31] for said in watched.said] == ["the TLS certificate expires on "]
    clock.advance(WARN_S)
    watched.look()
    assert [said[:35] for said in watched.said] == ["the TLS certificate has expired on "]
    clock.jump(-60 * DAY_S)
    watched.look()
    assert watched.said == [], "it is renewed, and its end is told still"


def test_one_that_lives_for_a_day_is_not_told_about_all_day(tmp_path: Path, issuer: Issuer) -> None:
    clock = on(0)
    short = issuer.issue(begins=timedelta(0), ends=timedelta(days=1))
    watched = Watched(tmp_path, short, clock)
    clock.advance(0.6 * DAY_S)
    watched.look()
    assert watched.said == []
    clock.advance(0.2 * DAY_S)
    watched.look()
    assert len(watched.said) == 1


# -- under open doors ---------------------------------------------------------


@pytest.fixture
def renewed(tmp_path: Path, watched: Watched, issuer: Issuer) -> Iterator[Running]:
    with running(tmp_path, Settings(), watched.certificates, issuer.client()) as server:
        yield server


def shown_by(wire: ssl.SSLSocket) -> str:
    subject = (wire.getpeercert() or {})["subject"]
    return dict(name for names in subject for name in names)["commonName"]  # type: ignore[misc]


def test_connections_that_are_open_go_on_and_new_ones_see_the_new(
    renewed: Running, watched: Watched, newer: Pair
) -> None:
    with renewed.connect() as before:
        assert isinstance(before, ssl.SSLSocket) and shown_by(before) == "server"
        newer.put(*watched.files.paths)
        watched.look()
        with renewed.connect() as after:
            assert isinstance(after, ssl.SSLSocket) and shown_by(after) == "newer", "the old certificate is shown"
            for wire in (before, after):
                wire.sendall(WHO)
                assert answer(wire).startswith(b"HTTP/1.1 200")


def test_mutant_that_reads_the_files_once_is_caught(
    renewed: Running, watched: Watched, newer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Certificates, "_take_up", lambda self, stamps: None)
    with pytest.raises(AssertionError, match="the old certificate is shown"):
        test_connections_that_are_open_go_on_and_new_ones_see_the_new(renewed, watched, newer)


def test_the_thread_looks_until_it_is_told_to_stop(
    watched: Watched, newer: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, stop = Event(), Event()
    monkeypatch.setattr(renewal, "LOOK_S", 0.001)
    monkeypatch.setattr(Certificates, "look", lambda self: looked.set())
    thread = Thread(target=watched.certificates.run, args=(stop,))
    thread.start()
    assert looked.wait(10)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
