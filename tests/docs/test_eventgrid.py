"""The page for who comes from Event Grid: its programs run as written, against doors that are really served."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import lightgbm
import numpy as np
import pytest
from tests.docs.pages import blocks

from penstock import App, testing
from penstock.declare.load import load
from penstock.gateway.doors import eventgrid
from penstock.gateway.server import serve
from penstock.run.supervisor.sockets import listen
from penstock.schema.eventgrid import PublishedGridEvent
from penstock.testing.door_contract import services_over

PAGE = (Path(__file__).parents[2] / "docs" / "eventgrid.md").read_text()
FILES = {block.name: "\n".join(block.lines) + "\n" for block in blocks(PAGE) if block.name}
REGISTERED = {
    "id": "831e1650-001e-001b-66ab-eeb76e069631",
    "topic": "/subscriptions/1/resourceGroups/g/providers/Microsoft.MachineLearningServices/workspaces/w",
    "subject": "models/risk:20",
    "eventType": "Microsoft.MachineLearningServices.ModelRegistered",
    "eventTime": "2026-01-31T12:00:00.1234567Z",
    "data": {"ModelName": "risk", "ModelVersion": 20, "ModelTags": {}, "ModelProperties": {}},
    "dataVersion": "",
    "metadataVersion": "1",
}


@contextmanager
def served(t: testing.Running, folder: Path) -> Iterator[str]:
    """The doors to an app under test."""
    services = services_over(t._log, t._composition.plan, folder)
    listening = listen("127.0.0.1", 0)
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=serve, args=(services, listening, stop, ready.set))
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/eventgrid"
    finally:
        stop.set()
        thread.join(20)


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    """The page's, beside a workspace that has the model."""
    rows = np.random.default_rng(1).random((50, 2))
    data = lightgbm.Dataset(rows, rows[:, 0], feature_name=["amount", "abroad"])
    lightgbm.train({"verbose": -1, "min_data_in_leaf": 5, "num_threads": 1}, data, 2).save_model(tmp_path / "risk.txt")
    (tmp_path / "workspace.py").write_text(
        "from pathlib import Path\n\n\ndef download(name, version):\n"
        "    assert (name, version) == ('risk', '20')\n    return Path(__file__).with_name('risk.txt')\n"
    )
    (tmp_path / "app.py").write_text(FILES["app.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    try:
        yield load(str(tmp_path / "app.py")).app
    finally:
        for name in set(sys.modules) - before:
            if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(sys.modules[name].__file__):
                del sys.modules[name]


def test_its_publisher_publishes(app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with testing.run(app) as t, served(t, tmp_path) as url:
        monkeypatch.setenv("ORDERS_ENDPOINT", f"{url}/orders/api/events")
        exec(compile(FILES["publish.py"], "publish.py", "exec"), {"__name__": "__main__"})
        found = httpx.get(f"{url.removesuffix('/eventgrid')}/topics/orders/events").json()
    said = sorted((event["type"], event.get("subject"), event["source"], json.dumps(event["data"])) for event in found)
    assert said == [
        ("shop.ordered", "orders/1", "/shop/orders", '{"amount": 7.5}'),
        ("shop.ordered", "orders/2", "/shop/orders", '{"amount": 12}'),
        ("shop.paid", "orders/1", "/shop", '{"amount": 7.5}'),
        ("shop.receipt", None, "/shop", '"JVBERi0xLjc="'),
    ]
    (receipt,) = (event["extensions"] for event in found if event["type"] == "shop.receipt")
    assert receipt == {"datacontenttype": "application/pdf", "data_base64": True}


def a_model_is_taken_over(app: App, folder: Path, event: dict[str, Any]) -> None:
    delivery = {"aeg-event-type": "Notification", "aeg-subscription-name": "PENSTOCK"}
    with testing.run(app) as t, served(t, folder) as url:
        for _ in range(2):  # as Event Grid may
            httpx.post(f"{url}/azure/api/events", json=[event], headers=delivery).raise_for_status()
        t.settle()
        model = httpx.get(f"{url.removesuffix('/eventgrid')}/models/risk").json()
        assert [version["version"] for version in model.get("versions", [])] == [1], "it is not registered, once"
        assert model["versions"][0]["dataset_id"] == f"{REGISTERED['topic']}/models/risk:20"
        assert model["aliases"]["champion"]["version"] == 1


@pytest.mark.parametrize("version", [20, "20"])
def test_a_model_that_is_registered_in_azure_wakes_whoever_waits_for_one(
    app: App, tmp_path: Path, version: Any
) -> None:
    a_model_is_taken_over(app, tmp_path, REGISTERED | {"data": {"ModelName": "risk", "ModelVersion": version}})


def test_mutant_an_event_whose_type_is_lost_is_caught(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = eventgrid.__dict__["decode_events"]

    def without_types(*given: Any, **named: Any) -> Any:
        rows, envelope = whole(*given, **named)
        return rows, {name: values for name, values in envelope.items() if name != "_type"}

    monkeypatch.setattr(eventgrid, "decode_events", without_types)
    with pytest.raises(AssertionError, match="it is not registered, once"):
        a_model_is_taken_over(app, tmp_path, REGISTERED)


def test_the_members_limits_and_codes_of_the_page_are_those_of_the_code() -> None:
    table = PAGE.partition("| Event Grid's schema | here |")[2].partition("\n\n")[0]
    members = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    assert members == set(PublishedGridEvent.__struct_encode_fields__)
    assert f"({eventgrid.ARRAY_LIMIT_BYTES:,} bytes" in PAGE and f"{eventgrid.EVENTS_LIMIT:,} events" in PAGE
    for kind in (eventgrid.NOTIFICATION, eventgrid.VALIDATION, eventgrid.DELETION):
        assert f"`aeg-event-type: {kind}`" in PAGE


def test_the_shells_event_is_taken(app: App, tmp_path: Path) -> None:
    """As ``date`` writes its time, whose zone has no colon."""
    written = PAGE.partition("event='")[2].partition("}]'")[0] + "}]"
    body = re.sub(r"'\$\(date [^)]*\)'", "2026-01-31T12:00:00+0000", written.replace("'$RANDOM'", "7"))
    with testing.run(app) as t, served(t, tmp_path) as url:
        said = httpx.post(
            f"{url}/orders/api/events?api-version=2018-01-01",
            content=body,
            headers={"content-type": "application/json", "aeg-sas-key": "any"},
        )
        assert (said.status_code, said.content) == (200, b"")
