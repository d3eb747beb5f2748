from dataclasses import fields

import pytest

from penstock.errors import DeclarationError
from penstock.settings import MIB, Settings


def test_every_setting_has_its_variable() -> None:
    environ = {f"PENSTOCK_{f.name.upper()}": "7" for f in fields(Settings)}
    chosen = Settings.from_env(environ)
    assert all(getattr(chosen, f.name) == 7 for f in fields(Settings))
    assert all(type(getattr(chosen, f.name)) is type(getattr(Settings(), f.name)) for f in fields(Settings))


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
