"""The whole of it, in one command: python workflow.py

Trains two models, starts the reviewer and Penstock, publishes departures, and registers the second model half-way. All
that it starts ends with it, and what Penstock keeps is gone then.
"""

import base64
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

import penstock as ps

HERE = Path(__file__).parent
PIECE = 50  # events of a request
PATIENCE_S = 120


def train(leaves: int, file: str) -> None:
    subprocess.run([sys.executable, HERE.parent / "flights" / "train.py", str(leaves), file], cwd=HERE, check=True)


@contextmanager
def running(first_word: str, *command: str | Path, env: dict[str, str]) -> Iterator[str]:
    """A program, once it has printed a line that begins with this word: the URL in that line."""
    started = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, cwd=HERE, env=env)
    assert started.stdout is not None
    try:
        line = next((line for line in started.stdout if line.startswith(first_word)), None)
        if line is None:
            raise SystemExit(f"{command} has ended before it was ready")
        threading.Thread(target=pass_on, args=(started.stdout,)).start()
        yield line.split()[-1]
    finally:
        started.terminate()
        started.wait()


def pass_on(said: Iterable[str]) -> None:
    for line in said:
        print(line, end="", flush=True)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def publish(server: ps.Client, rows: pl.DataFrame) -> None:
    for start in range(0, rows.height, PIECE):
        server.publish("departures", rows[start : start + PIECE])


def publish_until_swapped(server: ps.Client, rows: pl.DataFrame, version: int) -> int:
    """Publishes on, a piece ten times a second, until all that score have the version; how many events that took."""
    deadline, sent = time.monotonic() + PATIENCE_S, 0
    while {each["version"] for each in server.model("delay")["scorers"]} != {version}:
        if time.monotonic() > deadline:
            raise SystemExit(f"delay/{version} was not promoted within {PATIENCE_S} s")
        publish(server, rows[sent : sent + PIECE])
        sent = min(sent + PIECE, rows.height)
        time.sleep(0.1)
    return sent


def wait_for_delays(server: ps.Client, count: int) -> pl.DataFrame:
    deadline = time.monotonic() + PATIENCE_S
    while (delays := server.read("delays")).height < count and time.monotonic() < deadline:
        time.sleep(0.2)
    return delays


def main() -> None:
    train(2, "delay.onnx")
    train(31, "delay-2.onnx")
    departures = pl.read_parquet(HERE / "departures.parquet")
    key, port = "whsec_" + base64.b64encode(os.urandom(32)).decode(), free_port()
    env = os.environ | {"REVIEW_KEY": key, "PENSTOCK_URL": f"http://127.0.0.1:{port}"}
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory())
        env["REVIEW_URL"] = stack.enter_context(running("reviewing", "reviewer.py", env=env))
        run = ("-m", "penstock", "run", "app.py", "--data", data, "--port", str(port))
        server = stack.enter_context(ps.connect(stack.enter_context(running("ready", *run, env=env))))
        half = departures.height // 2
        publish(server, departures[:half])
        version = server.register_model("delay", HERE / "delay-2.onnx")
        print(f"delay/{version} is registered, and events flow on", flush=True)
        sent = half + publish_until_swapped(server, departures[half:-1_000], version)
        publish(server, departures[sent:])
        delays = wait_for_delays(server, departures.height)
        check(departures.height, delays, version)


def check(count: int, delays: pl.DataFrame, version: int) -> None:
    """Of each departure one delay, by one version or the other."""
    twice = delays.height - delays.select("_parent_partition", "_parent").n_unique()
    of = {v: delays.filter(pl.col("_version") == v).height for v in (1, version)}
    print(f"{count:,} departures, {delays.height:,} delays, {twice} of them twice", flush=True)
    print(f"{of[1]:,} by delay/1, {of[version]:,} by delay/{version}", flush=True)
    if delays.height != count or twice or 0 in of.values():
        raise SystemExit("that is not as it should be")


if __name__ == "__main__":
    main()
