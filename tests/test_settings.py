from dataclasses import fields

import pytest

from penstock.errors import DeclarationError
from penstock.settings import MIB, Settings


def test_every_setting_has_its_variable() -> None:
    numbers = [f.name for f in fields(Settings) if f.name != "public_url"]
    chosen = Settings.from_env({f"PENSTOCK_{name.upper()}": "7" for name in numbers})
    assert all(getattr(chosen, name) == 7 for name in numbers)
    assert all(type(getattr(chosen, name)) is type(getattr(Settings(), name)) for name in numbers)


def test_defaults_without_any() -> None:
    assert Settings.from_env({}) == Settings() and Settings().body_limit == 32 * MIB


@pytest.mark.parametrize(
    ("value", "why"), [("1.5", "integer"), ("many", "integer"), ("0", "above 0"), ("-3", "above 0")]
)
def test_what_is_no_limit_is_refused_by_name(value: str, why: str) -> None:
    with pytest.raises(DeclarationError, match=f"PENSTOCK_BATCH_ROWS='{value}'.*{why}"):
        Settings.from_env({"PENSTOCK_BATCH_ROWS": value})


@pytest.mark.parametrize("value", ["nan", "inf", "1e400"])
def test_a_time_that_is_no_time_is_refused(value: str) -> None:
    with pytest.raises(DeclarationError, match="PENSTOCK_DRAIN_TIMEOUT"):
        Settings.from_env({"PENSTOCK_DRAIN_TIMEOUT": value})


def test_a_number_of_seconds() -> None:
    assert Settings.from_env({"PENSTOCK_DRAIN_TIMEOUT": "0.5"}).drain_timeout == 0.5


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://events.example.com", "https://events.example.com"),
        ("https://events.example.com:8443/penstock/", "https://events.example.com:8443/penstock"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("", ""),
    ],
)
def test_where_others_reach_the_doors(given: str, url: str) -> None:
    assert Settings.from_env({"PENSTOCK_PUBLIC_URL": given}).public_url == url


@pytest.mark.parametrize(
    "given",
    ["7", "events.example.com", "ftp://a.example", "https://", "https://u:hush@a.example", "https://a.example/?hush=1",
     "https://a.example/#hush", "https://a.example:0", "https://a.example:x", "https://a.example/ hush",
     "https://a.example\\hush", "https://[::1/hush", "https://a.example/" + "hush" * 600],
)  # fmt: skip
def test_what_is_no_public_url_is_refused_without_repeating_it(given: str) -> None:
    with pytest.raises(DeclarationError, match="PENSTOCK_PUBLIC_URL is no URL") as refused:
        Settings.from_env({"PENSTOCK_PUBLIC_URL": given})
    assert "hush" not in str(refused.value)
