"""What every door promises, of one of each kind: bare, reading, and asking others."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.gateway.routes import ROUTES, Route
from penstock.testing import DoorContract

REQUESTS: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/topics/{topic}/events"): {"url": "/topics/notes/events", "json": {"n": 1}},
    ("GET", "/topics/{topic}/events"): {"url": "/topics/notes/events"},
    ("GET", "/topics/{topic}"): {"url": "/topics/notes"},
    ("POST", "/dead/redrive"): {"url": "/dead/redrive", "json": {}},
    ("GET", "/models"): {"url": "/models"},
    ("GET", "/healthz"): {"url": "/healthz"},
}


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if (r.method, r.path) in REQUESTS], ids=lambda r: r.path, indirect=True
)
class TestDoors(DoorContract):
    @pytest.fixture
    def route(self, request: pytest.FixtureRequest) -> Route:
        route: Route = request.param
        return route

    @pytest.fixture
    def request_(self, route: Route) -> dict[str, Any]:
        return REQUESTS[route.method, route.path]
