"""Runs the figures and says what they were: a table for people, JSON for machines."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from . import events, scale
from .deliveries import DeliveryBench
from .domains import measure
from .figures import Bench, Flow, median

MIB = 1 << 20
PARTS = ("flow", "singles", "latency", "start", "deliveries", "growth")


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: str
    must: str
    aim: str
    met: bool
    spread: str = ""  # least and most of the runs


def at_most(name: str, values: list[float], must: float, aim: float, unit: str, digits: int = 2) -> Figure:
    return _figure(name, values, f"≤ {must:g}{unit}", f"≤ {aim:g}{unit}", median(values) <= must, unit, digits)


def at_least(name: str, values: list[float], must: float, aim: float, unit: str, digits: int = 2) -> Figure:
    return _figure(name, values, f"≥ {must:,g}{unit}", f"≥ {aim:,g}{unit}", median(values) >= must, unit, digits)


def _figure(name: str, values: list[float], must: str, aim: str, met: bool, unit: str, digits: int) -> Figure:
    spread = f"{min(values):,.{digits}f}–{max(values):,.{digits}f}"
    return Figure(name, f"{median(values):,.{digits}f}{unit}", must, aim, met, spread)


def flows(bench: Bench) -> list[Figure]:
    found: list[Figure] = []
    for name, runs, cpu, rate in (
        ("JSON, bodies of 1,000, 8 connections", bench.json(), (2.0, 1.5), (0.8, 1.2)),
        ("JSON, bodies of 100, 16 connections", bench.json(100, 16), None, None),
        ("Arrow, bodies of 2,000, 8 connections", bench.arrow(), (1.4, 1.0), (1.2, 1.8)),
    ):
        ratios = [flow.cpu / loop.cpu for flow, loop in runs]
        rates = [flow.rate * loop.cpu for flow, loop in runs]
        cpu_name, rate_name = f"CPU an event, {name}", f"events/s, {name}"
        if cpu is None or rate is None:
            found.append(_plain(cpu_name, ratios, " × bare", 2))
            found.append(_plain(rate_name, rates, " × bare", 2))
        else:
            found.append(at_most(cpu_name, ratios, *cpu, " × bare"))
            found.append(at_least(rate_name, rates, *rate, " × bare"))
        found.append(_plain(f"events/s, {name}", [flow.rate for flow, _ in runs], "/s"))
        found.append(_plain(f"the bare loop beside it, {name}", [loop.rate for _, loop in runs], "/s"))
        if rate is not None:
            found += memory(name, runs[-1][0])
    return found


def memory(name: str, flow: Flow) -> list[Figure]:
    workers = (flow.memory["worker"] + flow.memory.get("runner", 0)) / 2 / MIB  # two workers, and their runners
    return [
        at_most(f"memory of the gateway, {name}", [flow.memory["gateway"] / MIB], 200, 200, " MiB", 0),
        at_most(f"memory of a worker with its runners, {name}", [workers], 350, 350, " MiB", 0),
    ]


def _plain(name: str, values: list[float], unit: str, digits: int = 0) -> Figure:
    return _figure(name, values, "", "", True, unit, digits)


def singles(bench: Bench) -> list[Figure]:
    reports = bench.singles()
    return [
        at_least("200 publishers of one event, durable", [r.rate for r in reports], 8_000, 20_000, "/s", 0),
        _plain("their p99", [r.p99 for r in reports], " ms", 1),
    ]


def latency(bench: Bench) -> list[Figure]:
    runs = bench.latency()
    fsync = fsync_ms()
    return [
        at_most(
            "event → durable prediction at 1,000/s, p99", [_quantile(r, 0.99) for r in runs], 15 + 3 * fsync, 5, " ms"
        ),
        _plain("the same, p50", [_quantile(r, 0.5) for r in runs], " ms", 2),
        _plain("one fdatasync of 4 KiB here", [fsync], " ms", 2),
    ]


def fsync_ms() -> float:
    """Median of 100, where the bench keeps its data."""
    import time

    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(100):
            file.write(b"x" * 4_096)
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - start) * 1e3)
    return median(took)


def growth(stored: int, topics: int, runs: int) -> list[Figure]:
    found = []
    for name, measured in (
        ("stored events", scale.by_stored_events(stored, runs)),
        ("topics", scale.by_topics(topics, runs)),
    ):
        (few, base), (many, grown) = measured
        found.append(at_most(f"cost an event at {many:,} {name} to that at {few:,}", [grown / base], 1.5, 1.1, " ×"))
    return found


def start_and_idle(bench: Bench) -> list[Figure]:
    starts, idle = bench.start_and_idle()
    return [
        at_most("start to ready", starts, 3.0, 1.0, " s"),
        at_most("idle", [share * 100 for share in idle], 1.0, 1.0, " % of a core"),
    ]


def deliveries(bench: DeliveryBench, events: int) -> list[Figure]:
    singles, hundreds = bench.throughput(events, 1), bench.throughput(10 * events, 100)
    ordered = median([run.cpu for run in bench.throughput(events, 1, ordered=True)])
    delays, idle = bench.latency(), bench.idle(10_000)
    ratio = ordered / median([run.cpu for run in singles])
    return [
        at_least("deliveries of one event, durable, signed", [run.rate for run in singles], 4_000, 10_000, "/s", 0),
        at_most("CPU of the courier for one", [run.cpu * 1e6 for run in singles], 100, 50, " µs", 0),
        at_most("CPU of the courier for one of an ordered subscription to that", [ratio], 1.5, 1.1, " ×"),
        at_least("events/s in deliveries of 100", [run.rate for run in hundreds], 100_000, 200_000, "/s", 0),
        at_most("append → received at 1,000/s, p99", [_quantile(run, 0.99) for run in delays], 50, 15, " ms"),
        at_most("idle with 10,000 subscriptions", [share * 100 for share in idle], 2, 1, " % of a core"),
    ]


def domains(topics: int, subscriptions: int, put: int) -> list[Figure]:
    found = measure(topics, subscriptions, put)
    return [
        at_most(f"first event of each of {topics:,} topics, p99", [found.first_p99], 50, 20, " ms"),
        at_most("an event of a topic that is there, p99", [found.later_p99], 50, 15, " ms"),
        at_least(f"events/s to {subscriptions} subscriptions", [found.delivered_rate], 10_000, 50_000, "/s", 0),
        at_most(f"a subscription beside {put:,} from its put to its first delivery", found.active_s, 1, 0.5, " s"),
        at_most(f"idle with {put:,} that were put", [share * 100 for share in found.idle], 2, 1, " % of a core"),
        at_most(
            f"all processes grew, with {topics:,} topics and these", [found.grown / (1 << 20)], 1_024, 256, " MiB", 0
        ),
    ]


def _quantile(values: list[float], q: float) -> float:
    return float(np.quantile(values, q, method="higher"))  # nothing between a time and the infinite one of a refusal


def machine() -> str:
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {system}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def run(*, quick: bool, only: str, out: Path | None) -> list[Figure]:
    """Measure, print each figure as it comes, and write them all to ``out`` as JSON."""
    console = Console()
    console.print(f"[dim]{machine()}[/]")
    found: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory:
        with console.status("training the model"):
            model = events.model(Path(directory) / "bench.onnx")
        bench = Bench(events.departures(40_000 if quick else 200_000), model, runs=2 if quick else 5)
        parts: dict[str, Callable[[], list[Figure]]] = {
            "flow": lambda: flows(bench),
            "singles": lambda: singles(bench),
            "latency": lambda: latency(bench),
            "start": lambda: start_and_idle(bench),
            "deliveries": lambda: deliveries(DeliveryBench(bench.events, bench.runs), 5_000 if quick else 20_000),
            "domains": lambda: domains(5_000 if quick else 100_000, 50, 500 if quick else 10_000),
            "growth": lambda: growth(1_000_000 if quick else 100_000_000, 100 if quick else 10_000, bench.runs),
        }
        for name, part in parts.items():
            if only in ("", name):
                with console.status(f"measuring: {name}"):
                    figures = part()
                found += figures
                console.print(table(figures))
    if out is not None:
        out.write_text(json.dumps({"machine": machine(), "figures": [asdict(f) for f in found]}, indent=1) + "\n")
    return found


def table(figures: list[Figure]) -> Table:
    shown = Table(box=None, padding=(0, 2))
    for column in ("figure", "median", "runs", "must", "aim", ""):
        shown.add_column(column)
    for f in figures:
        verdict = "" if not f.must else "[green]met[/]" if f.met else "[red]missed[/]"
        shown.add_row(f.name, f.value, f.spread, f.must, f.aim, verdict)
    return shown
