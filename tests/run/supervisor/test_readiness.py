"""When a start is over, and what it leaves to a person."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.run.supervisor.readiness import Readiness, readiness

READY = {"ready": True}
SOON = {"ready": False, "starting": True, "reason": "it is being made ready"}
WAITS = {"ready": False, "starting": False, "reason": "it waits for the first version"}


def worker(**stages: Any) -> dict[str, Any]:
    return {"role": "worker", "stages": stages}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([worker(a=READY), worker(a=READY)], Readiness(True, ())),
        ([worker(a=READY), worker(a=SOON)], Readiness(True, ())),
        ([worker(a=READY), worker(a=WAITS)], Readiness(True, ())),
        ([worker(a=SOON), worker(a=SOON)], Readiness(False, (("a", SOON["reason"]),))),
        ([worker(a=WAITS), worker(a=SOON)], Readiness(False, (("a", WAITS["reason"]),))),
        ([worker(a=WAITS, b=READY)], Readiness(True, (("a", WAITS["reason"]),))),
        ([{"role": "gateway"}, worker()], Readiness(True, ())),
    ],
)
def test_readiness(said: list[dict[str, Any]], expected: Readiness) -> None:
    assert readiness(said) == expected
