"""Nothing in the tree speaks TLS without verifying who is there, unless it says why (S9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = ("src", "examples", "bench", "docs", ".ci", "deploy")
SUFFIXES = {".py", ".sh", ".yaml", ".yml", ".toml", ".md", ".go", ""}
BLIND = re.compile(
    r"""verify\s*[=:]\s*False | CERT_NONE | check_hostname\s*=\s*False | _create_unverified_context
    | SSL_VERIFY(?:PEER|HOST)\s*,\s*(?:0|False)
    | enable\.ssl\.certificate\.verification["']?\s*[,:=]\s*["']?(?:0|[Ff]alse)
    | ssl\.endpoint\.identification\.algorithm["']?\s*[,:=]\s*["']none | InsecureSkipVerify\s*:\s*true
    | curl\s+(?:\S+\s+)*?(?:-k|--insecure)\b | (?:verify_ssl|ssl_verify|rejectUnauthorized)\s*[=:]\s*[Ff]alse""",
    re.VERBOSE,
)
REASONS = {
    ("src/penstock/gateway/tls/certificates.py", "check_hostname = False"): "a handshake with oneself, in memory",
}


def texts() -> dict[str, str]:
    files = [file for place in PLACES for file in (ROOT / place).rglob("*") if file.suffix in SUFFIXES]
    files += [file for file in ROOT.iterdir() if file.suffix in SUFFIXES]
    return {
        file.relative_to(ROOT).as_posix(): file.read_text(errors="replace")
        for file in files
        if file.is_file() and "__pycache__" not in file.parts
    }


def unverified(found: Mapping[str, str]) -> set[tuple[str, str]]:
    """The file, and what is written there."""
    return {(file, match[0]) for file, text in found.items() for match in BLIND.finditer(text)}


def test_who_is_there_is_verified_wherever_tls_is_spoken() -> None:
    assert unverified(texts()) == set(REASONS), "TLS is spoken to whoever answers"


@pytest.mark.parametrize(
    "planted",
    [
        "httpx.get(url, verify=False)",
        "requests.get(url, verify = False)",
        "context.verify_mode = ssl.CERT_NONE",
        "context.check_hostname = False",
        "ssl._create_unverified_context()",
        "(pycurl.SSL_VERIFYPEER, 0)",
        "handle.setopt(pycurl.SSL_VERIFYHOST, False)",
        '"enable.ssl.certificate.verification": False',
        "enable.ssl.certificate.verification=false",
        '"ssl.endpoint.identification.algorithm": "none"',
        "curl -s -k https://127.0.0.1:8000/topics",
        "curl --insecure https://127.0.0.1:8000/topics",
        "&tls.Config{InsecureSkipVerify: true}",
        "verify_ssl=False",
    ],
)
def test_mutant_that_looks_away_is_caught(planted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = texts()
    monkeypatch.setitem(globals(), "texts", lambda: read | {"src/penstock/other.py": f"x = 1\n{planted}\n"})
    with pytest.raises(AssertionError, match="TLS is spoken to whoever answers"):
        test_who_is_there_is_verified_wherever_tls_is_spoken()
