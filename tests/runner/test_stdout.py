"""Prints behind the runner's name; of a flood only so much, and how much was left out."""

import pytest

from penstock.clock import ManualClock
from penstock.runner.stdout import BURST_CHARS, RATE_CHARS, Prefixed


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_lines_are_whole_and_have_the_name(capsys: pytest.CaptureFixture[str]) -> None:
    out = Prefixed("score", ManualClock())
    print("a", end="", file=out)
    print("b\nc", file=out)
    assert written(capsys) == ["[score] ab", "[score] c"]


def test_a_flood_is_cut_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    out = Prefixed("score", clock)
    line = "x" * 1_023
    for _ in range(300 << 10):  # 300 MiB
        print(line, file=out)
    found = written(capsys)
    assert len(found) == BURST_CHARS // 1_024 + 1, "a flood is let through"
    assert "some of it is left out" in found[-1]
    left = (300 << 10) - BURST_CHARS // 1_024
    clock.advance(2)
    print("and then this", file=out)
    assert written(capsys) == [
        f"[score] {left:,} lines ({left * 1_023:,} characters) were left out here",
        "[score] and then this",
    ]


def test_a_slow_talker_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock()
    out = Prefixed("score", clock)
    for _ in range(400):
        for _ in range(4):
            print("y" * (RATE_CHARS // 8), file=out, end="")
            print(file=out)
        clock.advance(1)
    assert not [line for line in written(capsys) if "left out" in line]


def test_mutant_a_bottomless_log_is_caught(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Prefixed, "_put", Prefixed._say)
    with pytest.raises(AssertionError, match="a flood is let through"):
        test_a_flood_is_cut_and_told(capsys)
