"""A planted bug counts as found where the assertion fails that is about it, and not for any other reason."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FAILURES = {"AssertionError", "pytest.fail.Exception"}  # of a test


def without_a_reason(texts: Mapping[str, str]) -> list[str]:
    """Where a test is expected to fail, and it is not said by what."""
    return [
        f"{file}:{call.lineno}"
        for file, text in texts.items()
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call)
        and "raises" in (getattr(call.func, "attr", ""), getattr(call.func, "id", ""))
        and FAILURES & {ast.unparse(part) for part in ast.walk(call)}
        and "match" not in {keyword.arg for keyword in call.keywords}
    ]


def test_every_mutant_is_found_for_its_own_reason() -> None:
    assert without_a_reason({str(file.relative_to(TESTS)): file.read_text() for file in TESTS.rglob("*.py")}) == []


@pytest.mark.parametrize(
    "given",
    ["AssertionError", "(KeyError, AssertionError)", "expected_exception=AssertionError", "pytest.fail.Exception"],
)
def test_one_without_a_reason_is_found(given: str) -> None:
    text = "with running() as it, pytest.raises({}):\n    f(it)\n"
    assert without_a_reason({"a.py": text.format(given)}) == ["a.py:1"]
    assert without_a_reason({"a.py": text.format(f"{given}, match='lost'")}) == []
