"""/docs and /openapi.json of a real run: each example works as it is written, and says what really comes back."""

from __future__ import annotations

import html
import json
import re
import shlex
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from penstock.access.state import KeyCreated
from penstock.batch import DEAD, SYSTEM, Write
from penstock.clock import SystemClock
from penstock.run.compose.backends import open_log
from penstock.run.directory import DataDirectory
from penstock.settings import Settings
from penstock.stages.failures.dead import DEAD_TOPIC
from penstock.system.messages import to_rows
from tests.e2e import rig

APP = Path(__file__).parents[2] / "examples" / "quickstart" / "app.py"
SUBSCRIBED = """
app.subscribe(payments, "https://127.0.0.1:9/hook", name="large", where="amount > 100", allow_private=True)
tx = app.domain("tx", Payment)
"""


def request(url: str, line: str) -> httpx.Response:
    """What curl would send; of a file that is not there, some bytes."""
    words = shlex.split(line.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, headers, body = "GET", dict[str, str](), b""
    *options, address = words
    while options:
        option, value = options.pop(0), options.pop(0)
        if option == "-H":
            name, _, text = value.partition(":")
            headers[name] = text.strip()
        elif option == "-X":
            method = value
        elif option == "-D":
            assert value == "-"  # the answer's headers are shown
        else:
            assert option in ("-d", "--data-binary")
            method = "POST" if method == "GET" else method
            body = b"no model" if value.startswith("@") else value.encode()
    return httpx.request(method, address.replace("$host", url), headers=headers, content=body, timeout=rig.PATIENCE)


def shape(value: Any) -> Any:
    """The names in a JSON value, without what may be empty or shortened in an example."""
    if isinstance(value, dict):
        empty = ("data", "schema", "inputs", "outputs", "aliases", "endpoint")
        return {k: shape(v) for k, v in value.items() if k not in empty}
    return [shape(value[0])] if isinstance(value, list) and value else type(value) in (list, dict)


def within(told: Any, real: Any) -> bool:
    """Is everything that the example tells there?"""
    if isinstance(told, dict):
        return isinstance(real, dict) and all(k in real and within(v, real[k]) for k, v in told.items())
    if isinstance(told, list):
        return isinstance(real, list) and bool(real) and within(told[0], real[0])
    return True


def test_the_look_at_an_answer_notices_a_name_that_is_not_there() -> None:
    real = {"count": 1, "positions": [{"partition": 0}]}
    assert within(shape({"positions": [{"partition": 3}]}), real)
    assert not within(shape({"count": 1, "offset": 0}), real)
    assert not within(shape({"positions": [{"offset": 0}]}), real)


def add_what_examples_speak_of(directory: Path) -> None:
    """A dead letter, and a key."""
    key = KeyCreated(id="Zq3T8vX1cM", name="x", digest="0" * 64, rights=("read:x",), expires=None, at=1, by="test")
    said = {
        "topic": "payments",
        "partition": 0,
        "offset": 7,
        "stage": "prepare",
        "error": "ValueError",
        "reason": "bad",
    }
    said |= {"traceback": "", "attempts": 3, "id": "p7", "time": datetime.now(UTC), "data": "{}"}
    log = open_log(DataDirectory(directory), SystemClock(), Settings(), rig.log_url(directory))
    letter = pa.RecordBatch.from_pylist([said], schema=DEAD_TOPIC.schema)
    log.append([Write(DEAD, 0, letter), Write(SYSTEM, 0, to_rows([key]))])
    log.close()


def test_every_example_works_as_it_is_written(tmp_path: Path) -> None:
    """Of an app that has something of everything."""
    shutil.copytree(APP.parent, tmp_path / "app")
    app = tmp_path / "app" / APP.name
    app.write_text(app.read_text() + SUBSCRIBED)
    with rig.running(app, tmp_path, workers=1) as running:
        assert rig.eventually(lambda: httpx.get(f"{running.url}/models/risk").json().get("scorers")), "nobody scores"
        add_what_examples_speak_of(tmp_path)
        doors = httpx.get(f"{running.url}/openapi.json", timeout=rig.PATIENCE).json()["paths"]
        tried = 0
        for path, methods in doors.items():
            for method, door in methods.items():
                for example in door.get("x-codeSamples", []):
                    said = request(running.url, example["source"])
                    assert said.request.method == method.upper()
                    if path == "/models/{model}/versions":
                        assert said.json()["error"]["code"] == "model_refused", said.text
                        continue
                    assert str(said.status_code) in door["responses"], f"{example['source']}: {said.text}"
                    tried += 1
                told = next(
                    (r["content"]["application/json"]["example"] for r in door["responses"].values() if "content" in r),
                    None,
                )
                if told is not None and path != "/models/{model}/versions":
                    assert within(shape(told), said.json()), f"{method} {path}: {told} is not like {said.text}"
        assert tried > 20
        waited = next(e for e in doors["/topics/{topic}/events"]["post"]["x-codeSamples"] if "wait=" in e["source"])
        said = request(running.url, waited["source"])
        assert said.json()["complete"] and said.json()["results"][0]["topic"] == "scores"
        assert running.stop() == 0


def test_the_page_shows_the_address_it_was_asked_under_and_loads_nothing(tmp_path: Path) -> None:
    with rig.running(APP, tmp_path, workers=1) as running:
        page = httpx.get(f"{running.url}/docs", timeout=rig.PATIENCE).text
        assert running.stop() == 0
    assert not re.search(r"<script|@import|url\(|<img|https?://", page)
    assert set(re.findall(r"(?:src|href)='?([^'>\s]*)", page)) - {"/openapi.json", "data:,"} == {
        f"#{name}" for name in re.findall(r"<h\d id='?([\w-]+)", page)
    }
    shown = [html.unescape(text) for text in re.findall(r"<pre>(curl.*?)</pre>", page, re.DOTALL)]
    assert len(shown) > 20 and all(running.url.removeprefix("http://") in line for line in shown)
    for answer in re.findall(r"<pre class=answer>(.*?)</pre>", page, re.DOTALL):
        json.loads(html.unescape(answer))
