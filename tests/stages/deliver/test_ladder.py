"""Further attempts, and what waits for them."""

from __future__ import annotations

import pytest
from tests.stages.deliver.outside import Endpoint
from tests.stages.deliver.test_router import Route
from tests.stages.deliver.world import SettlingLadder, Wanted, numbers

from penstock.destinations.lane import LONG_PROBATION_S
from penstock.stages.deliver.attempts import RUNGS_S
from penstock.stages.deliver.ladder import PROBATION_RUNG

PROBATION_S = 1_500.0  # all the probations of an endpoint that is away for that long


def ladder_of(route: Route) -> SettlingLadder:
    stage = route.members["a"][1][0]._stage
    assert isinstance(stage, SettlingLadder)
    return stage


def delayed() -> float:
    """Seconds from the end of the probations to the next attempt, of an event that had failed once before them."""
    endpoint = Endpoint(away=(0.0, 5.0))
    route = Route(Wanted("s", endpoint))
    route.publish(range(1))
    route.pass_on(2.0)
    (desk,) = ladder_of(route).desks
    desk.opens_at = ends = route.clock.monotonic() + PROBATION_S
    route.pass_on(3_000.0, step=0.5)
    assert numbers(endpoint) == {0}
    (first, *_), (second, *_) = endpoint.requests
    assert first < 5.0 and second >= ends, "tried on probation"
    return second - ends


def test_an_event_is_no_later_for_a_probation_than_that_may_last() -> None:
    assert RUNGS_S[PROBATION_RUNG] >= LONG_PROBATION_S
    assert delayed() <= LONG_PROBATION_S + 1.0, "it climbed on"


def test_mutant_that_climbs_on_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.stages.deliver.ladder.PROBATION_RUNG", len(RUNGS_S) - 1)
    with pytest.raises(AssertionError, match="it climbed on"):
        assert delayed() <= LONG_PROBATION_S + 1.0, "it climbed on"


def test_what_is_paused_is_looked_at_more_and_more_seldom() -> None:
    """Each look is a row, and a pause may last for weeks."""
    endpoint = Endpoint(away=(0.0, 5.0))
    route = Route(Wanted("s", endpoint))
    route.publish(range(1))
    route.pass_on(2.0)
    ladder_of(route)._subscriptions["s"].paused = True
    route.pass_on(8_000.0, step=2.0)
    assert len(endpoint.requests) == 1
    assert len(route.rows("penstock.retry")) == 8, "of 10 s, 30 s, 1, 5, 10 and 30 minutes, and an hour that goes on"
