"""When a start is over, and what it leaves to a person."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.run.supervisor.readiness import SystemReadiness, readiness

READY = {"ready": True}
SOON: dict[str, Any] = {"ready": False, "starting": True, "reason": "it is being made ready"}
WAITS: dict[str, Any] = {"ready": False, "starting": False, "reason": "it waits for the first version"}


def worker(**stages: Any) -> dict[str, Any]:
    return {"role": "worker", "stages": stages}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([worker(a=READY), worker(a=READY)], SystemReadiness(True, ())),
        ([worker(a=READY), worker(a=SOON)], SystemReadiness(True, ())),
        ([worker(a=READY), worker(a=WAITS)], SystemReadiness(True, ())),
        ([worker(a=SOON), worker(a=SOON)], SystemReadiness(False, (("a", SOON["reason"]),))),
        ([worker(a=WAITS), worker(a=SOON)], SystemReadiness(False, (("a", WAITS["reason"]),))),
        ([worker(a=WAITS, b=READY)], SystemReadiness(True, (("a", WAITS["reason"]),))),
        ([{"role": "gateway"}, worker()], SystemReadiness(True, ())),
    ],
)
def test_readiness(said: list[dict[str, Any]], expected: SystemReadiness) -> None:
    assert readiness(said) == expected
