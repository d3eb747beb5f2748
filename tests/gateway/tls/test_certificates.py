"""Which files make a server, and what is said of those that do not."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.certificates import Issuer, Pair

from penstock.errors import CannotStart
from penstock.gateway.tls import certificates
from penstock.gateway.tls.certificates import TLSFiles, load


def of(pair: Pair) -> TLSFiles:
    return TLSFiles(pair.certificate, pair.key)


def put(files: TLSFiles, which: str, place: Path) -> TLSFiles:
    """With another file in the place of one."""
    changed: dict[str, Any] = {which: place}
    return replace(files, **changed)


def test_a_pair_that_fits(pair: Pair) -> None:
    found = load(of(pair))
    assert found.names == ("127.0.0.1", "localhost")
    assert 89 * 86_400 < found.valid_until - found.valid_from < 91 * 86_400
    assert found.context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert found.context.verify_mode == ssl.CERT_NONE
    assert found.context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize(("required", "mode"), [(True, ssl.CERT_REQUIRED), (False, ssl.CERT_OPTIONAL)])
def test_clients_are_asked_for_certificates(issuer: Issuer, pair: Pair, required: bool, mode: ssl.VerifyMode) -> None:
    found = load(replace(of(pair), client_ca=issuer.certificate, client_required=required))
    assert found.context.verify_mode == mode
    assert [each["subject"] for each in found.context.get_ca_certs()] == [((("commonName", "tests"),),)]


def test_both_in_one_file(pair: Pair, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_text(pair.key.read_text() + pair.certificate.read_text())
    files = TLSFiles.given(str(both))
    assert files is not None and files.key == both and load(files).names


def test_a_key_that_is_encrypted_is_refused_and_nobody_is_asked(issuer: Issuer, pair: Pair) -> None:
    with pytest.raises(CannotStart, match=r"\.encrypted is encrypted, and nobody is there") as found:
        load(of(issuer.encrypted(pair, "open sesame")))
    assert "sesame" not in str(found.value)


def test_the_key_of_another_certificate(issuer: Issuer, pair: Pair) -> None:
    other = issuer.issue()
    with pytest.raises(CannotStart, match=f"{other.key} is not that of the certificate {pair.certificate}"):
        load(TLSFiles(pair.certificate, other.key))


@pytest.mark.parametrize(
    ("begins", "ends", "why"), [(-9, -1, "certificate has expired"), (1, 9, "certificate is not yet valid")]
)
def test_a_certificate_out_of_its_time(issuer: Issuer, begins: int, ends: int, why: str) -> None:
    with pytest.raises(CannotStart, match=f"refused by every client: {why}.*-dates"):
        load(of(issuer.issue(begins=timedelta(days=begins), ends=timedelta(days=ends))))


def test_a_client_s_certificate_is_no_server_s(till: Pair) -> None:
    with pytest.raises(CannotStart, match="refused by every client"):
        load(of(till))


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_what_is_not_there_or_something_else_is_named(issuer: Issuer, pair: Pair, tmp_path: Path, which: str) -> None:
    files = replace(of(pair), client_ca=issuer.certificate)
    away, other = tmp_path / "away", tmp_path / "other"
    other.write_text("-----BEGIN TROUBLE-----\n")
    with pytest.raises(CannotStart, match=f"{away} cannot be read: No such file"):
        load(put(files, which, away))
    with pytest.raises(CannotStart, match=f"{tmp_path} cannot be read: Is a directory"):
        load(put(files, which, tmp_path))
    with pytest.raises(CannotStart, match=f"{other} holds no .* in PEM"):
        load(put(files, which, other))


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_what_is_cut_short_is_named_and_not_shown(issuer: Issuer, pair: Pair, tmp_path: Path, which: str) -> None:
    files = replace(of(pair), client_ca=issuer.certificate)
    cut = tmp_path / "cut.pem"
    text = getattr(files, which).read_text()
    cut.write_text(text[: len(text) // 2])
    with pytest.raises(CannotStart, match=r"cut\.pem") as found:
        load(put(files, which, cut))
    assert text.splitlines()[1][:20] not in str(found.value)


def test_mutant_that_takes_a_certificate_unseen_is_caught(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {"notBefore": "Jan  1 00:00:00 2020 GMT", "notAfter": "Jan  1 00:00:00 2040 GMT"}
    monkeypatch.setattr(certificates, "_shown", lambda *_: seen)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_a_certificate_out_of_its_time(issuer, -9, -1, "certificate has expired")


# -- what is given ------------------------------------------------------------


def test_nothing_given_is_no_tls() -> None:
    assert TLSFiles.given("") is None


def test_what_is_given_goes_to_a_child_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for options in (("a.pem",), ("a.pem", "a.key"), ("a.pem", "", "ca.pem"), ("a.pem", "a.key", "ca.pem", "optional")):
        files = TLSFiles.given(*options)
        assert files is not None and TLSFiles.given(*files.arguments) == files
        assert all(path.is_absolute() for path in files.paths) and len(files.paths) == 2 + (len(options) > 2)
        assert files.client_required == ("optional" not in options)


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "..data")
    files = TLSFiles.given(str(tmp_path / "link"))
    assert files is not None and files.certificate == tmp_path / "link"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("", "a.key"), "--tls-key means nothing without --tls-certificate"),
        (("", "", "ca.pem"), "--tls-client-ca means nothing without --tls-certificate"),
        (("a.pem", "", "", "required"), "--tls-clients required needs --tls-client-ca"),
        (("a.pem", "", "ca.pem", "maybe"), "there are required and optional"),
    ],
)
def test_options_that_mean_nothing_alone(options: tuple[str, ...], why: str) -> None:
    with pytest.raises(CannotStart, match=why):
        TLSFiles.given(*options)
