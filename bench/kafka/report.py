"""Runs every program in turns and says what each costs: a table for people, JSON for machines and the docs."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import confluent_kafka
from bench.kafka import events
from bench.kafka.measure import LIBRARY, WARM, Job, Run
from bench.kafka.programs import AT_LEAST, ONCE, Program, Unavailable
from rich.console import Console
from rich.table import Table
from tests.brokers import cluster, jars

from penstock.bench import events as made
from penstock.bench.report import machine

SMALL = 0.05  # microseconds an event, below which a part is not told
MANY, SOME, FEW = 400_000, 40_000, 10_000  # events of one run, of the fast and of the slow

OURS = Program("json", "Penstock, `json` topics, 1 worker", ONCE, MANY, workers=1)
TWO = Program("two", "Penstock, `json` topics, 2 workers", ONCE, MANY, workers=2)
ARROW = Program("arrow", "Penstock, `arrow` topics, 1 worker", ONCE, MANY, workers=1, encoding="arrow")
BATCHED = Program("batched", "by hand on confluent-kafka, batches of 1,000", AT_LEAST, MANY, "loop_batched.py")
SINGLE = Program("single", "by hand on confluent-kafka, one at a time", AT_LEAST, SOME, "loop_single.py")
QUIX = Program("quix", "Quix Streams", AT_LEAST, SOME, "quix.py", "quix")
FASTSTREAM = Program("faststream", "FastStream, batches", AT_LEAST, SOME, "fast_stream.py", "faststream")
BYTEWAX = Program("bytewax", "Bytewax, batches", AT_LEAST, SOME, "bytewax_flow.py", "bytewax")
FAUST = Program("faust", "Faust (faust-streaming), batches", AT_LEAST, FEW, "faust_app.py", "faust")

PROGRAMS = (OURS, BATCHED, ARROW, SINGLE, TWO, QUIX, FASTSTREAM, BYTEWAX, FAUST)

Runs = dict[str, list[Run]]


@dataclass(frozen=True, slots=True)
class Row:
    """One program: the medians of its runs. ``parts``: microseconds of ``cpu_us``. ``missing``: why there are none."""

    title: str
    version: str
    guarantee: str
    cpu_us: float = 0.0
    spread: str = ""
    per_cpu_second: float = 0.0
    rate: float = 0.0
    broker_us: float = 0.0
    parts: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    name: str
    value: str
    spread: str
    must: str
    met: bool


def measured(
    job: Job, programs: Sequence[Program], rounds: int, told: Callable[[str], None]
) -> tuple[Runs, dict[str, str]]:
    """Each program once a round, so that what else the machine does falls on all; and why some have no runs."""
    runs: Runs = {program.name: [] for program in programs}
    missing: dict[str, str] = {}
    for turn, program in itertools.product(range(rounds), programs):
        if program.name in missing:
            continue
        try:
            run = job.run(program, f"{program.name}-{turn}")
        except Unavailable as error:
            missing[program.name] = str(error)
            told(f"[red]{program.title}: {error}[/]")
            continue
        runs[program.name].append(run)
        told(f"{turn + 1}/{rounds} {program.title}: {run.cpu * 1e6:.2f} µs of CPU an event, {run.rate:,.0f} events/s")
    return runs, missing


def rows(programs: Sequence[Program], runs: Runs, missing: dict[str, str]) -> list[Row]:
    return [_row(program, runs[program.name], missing.get(program.name, "")) for program in programs]


def _row(program: Program, runs: Sequence[Run], missing: str) -> Row:
    if missing or not runs:
        return Row(program.title, program.version, program.guarantee, missing=missing or "was not run")
    cpu = [run.cpu * 1e6 for run in runs]
    middle = statistics.median(cpu)
    return Row(
        program.title,
        program.version,
        program.guarantee,
        middle,
        f"{min(cpu):.2f}–{max(cpu):.2f}",
        1e6 / middle,
        statistics.median(run.rate for run in runs),
        statistics.median(run.broker * 1e6 for run in runs),
        _parts(program, runs),
    )


def _parts(program: Program, runs: Sequence[Run]) -> str:
    names = {name for run in runs for name in run.parts}
    found = {name: statistics.median(run.parts.get(name, 0.0) * 1e6 for run in runs) for name in names}
    told = sorted(((taken, name) for name, taken in found.items() if taken >= SMALL), reverse=True)
    return ", ".join(f"{name if program.workers or name == LIBRARY else 'program'} {taken:.2f}" for taken, name in told)


def figures(runs: Runs) -> list[Figure]:
    """What the issue asks for; each ratio is of two runs of the same round."""
    wanted = [
        ("events per CPU second to Quix Streams'", "quix", "json", 5.0),
        ("events per CPU second to FastStream's", "faststream", "json", 5.0),
        ("events per CPU second to the loop by hand, one at a time", "single", "json", 2.0),
        ("events per CPU second to the loop by hand, batched, without transactions", "batched", "json", 0.7),
        ("events per CPU second of `arrow` topics to `json` ones", "json", "arrow", 3.0),
    ]
    found = [_figure(name, runs[of], runs[to], must) for name, of, to, must in wanted]
    return [*found, _figure("CPU an event of 2 workers to 1", runs["two"], runs["json"], 1.2, most=True)]


def _figure(name: str, above: Sequence[Run], below: Sequence[Run], must: float, *, most: bool = False) -> Figure:
    ratios = [a.cpu / b.cpu for a, b in zip(above, below, strict=False)]
    asked = f"{'≤' if most else '≥'} {must:g} ×"
    if not ratios:
        return Figure(name, "not measured", "", asked, False)
    value = statistics.median(ratios)
    met = value <= must if most else value >= must
    return Figure(name, f"{value:.2f} ×", f"{min(ratios):.2f}–{max(ratios):.2f}", asked, met)


@contextmanager
def broker() -> Iterator[tuple[str, int | None]]:
    """Its address, and its process where it is ours. ``KAFKA_BOOTSTRAP`` names one that is there."""
    if there := os.environ.get("KAFKA_BOOTSTRAP"):
        yield there, None
        return
    jars.classpath()
    with (
        tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory,
        cluster.running(Path(directory) / "kafka", jvm=("-Xmx1g",)) as running,
    ):
        yield running.bootstrap, running.node(1).pid


def run(*, rounds: int, only: Sequence[str], out: Path | None) -> None:
    console = Console()
    console.print(f"[dim]{machine()}[/]")
    programs = [program for program in PROGRAMS if not only or program.name in only]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as directory, broker() as (brokers, process):
        model = made.model(Path(directory) / "bench.onnx")
        departures = made.departures(WARM + max(program.events for program in programs))
        job = Job(brokers, process, model, departures, events.scored(departures, model))
        runs, missing = measured(job, programs, rounds, console.print)
    table = rows(programs, runs, missing)
    console.print(shown(table))
    if only:
        return
    musts = figures(runs)
    for figure in musts:
        verdict = "[green]met[/]" if figure.met else "[red]missed[/]"
        console.print(f"{figure.name}: {figure.value} ({figure.spread}), must be {figure.must}: {verdict}")
    if out is not None:
        said = {
            "machine": machine(),
            "load": f"{os.getloadavg()[2]:.0f}",
            "rounds": rounds,
            "kafka": jars.version(),
            "librdkafka": confluent_kafka.libversion()[0],
            "programs": [asdict(row) for row in table],
            "figures": [asdict(figure) for figure in musts],
        }
        out.write_text(json.dumps(said, indent=1, ensure_ascii=False) + "\n")


def shown(table: Sequence[Row]) -> Table:
    found = Table(box=None, padding=(0, 2))
    for column in (
        "program",
        "µs of CPU an event",
        "runs",
        "events a CPU second",
        "events/s",
        "broker's µs",
        "of which µs",
    ):
        found.add_column(column)
    for row in table:
        if row.missing:
            found.add_row(row.title, row.missing)
        else:
            cells = (f"{row.cpu_us:.2f}", row.spread, f"{row.per_cpu_second:,.0f}", f"{row.rate:,.0f}")
            found.add_row(row.title, *cells, f"{row.broker_us:.2f}", row.parts)
    return found
