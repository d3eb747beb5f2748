"""What an audit repeats of what somebody sent: a line of bounded length, whatever it was."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.access.oidc.faults import SHOWN_CHARS, TokenFault, shown


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("api://a", "'api://a'"),
        ("a\nb\x1b[31m\u2028ü", r"'a\nb\x1b[31m\u2028\xfc'"),
        ("x" * SHOWN_CHARS, f"'{'x' * SHOWN_CHARS}'"),
        ("x" * (SHOWN_CHARS + 1), f"'{'x' * SHOWN_CHARS}'…"),
        (None, "None"),
        (True, "True"),
        (-1.5, "-1.5"),
        (10**18, "a value of the type int"),
        ([["deep"]], "a value of the type list"),
    ],
)
def test_what_is_shown(value: Any, said: str) -> None:
    assert shown(value) == said


def test_a_fault_is_a_word_of_its_own() -> None:
    assert all(fault.value.isidentifier() for fault in TokenFault)
