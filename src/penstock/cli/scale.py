"""`scale-hint`: how many workers the present rate and lag need."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from .options import URL, Json

if TYPE_CHECKING:
    from ..stages.scaling import StageLoad

Urls = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        help="A running Penstock, or where it answers probes; once for each run that shares the log.",
        envvar="PENSTOCK_URL",
    ),
]
WANTED, LOAD = "penstock_wanted_workers", "penstock_scale_load"


def scale_hint(url: Urls = None, as_json: Json = False) -> None:
    """How many workers each stage needs for what comes in and what waits, and why.

    More at once, less after two quiet windows of 15 seconds. The same number is the metric penstock_wanted_workers,
    which KEDA reads. A worker runs every stage, so an app needs as many as the stage that needs most.
    """
    from ..client.connection import connect
    from .show import rows

    texts: list[str] = []
    for each in url or [URL]:
        with connect(each) as server:
            texts.append(server.metrics())
    rows("stages", ["stage", "workers", "why"], hints(texts), as_json=as_json)


def hints(texts: Iterable[str]) -> list[dict[str, object]]:
    """``texts``: each run's metrics."""
    from dataclasses import asdict

    from ..stages.scaling import needed, why

    wanted, loads = _read(texts)
    found: list[dict[str, object]] = []
    for stage, parts in sorted(loads.items()):
        load = _together(parts)
        workers = max(min(math.ceil(wanted.get(stage, 0.0) - 1e-9), load.partitions), 1)
        kept = workers > max(math.ceil(needed(load) - 1e-9), 1)
        said = why(load) + ("; it needed more a moment ago, or a roll-out is under way" if kept else "")
        found.append(
            {"stage": stage, "workers": workers, "wanted": wanted.get(stage, 0.0), "why": said, **asdict(load)}
        )
    return found


def _read(texts: Iterable[str]) -> tuple[dict[str, float], dict[str, list[StageLoad]]]:
    from prometheus_client.parser import text_string_to_metric_families as families

    from ..run.compose.scaling import load_of

    wanted: dict[str, float] = {}
    loads: dict[str, list[StageLoad]] = {}
    for text in texts:
        said: dict[str, dict[str, float]] = {}
        for sample in (sample for family in families(text) for sample in family.samples):
            if sample.name == WANTED:
                stage = sample.labels["stage"]
                wanted[stage] = wanted.get(stage, 0.0) + sample.value
            elif sample.name == LOAD:
                said.setdefault(sample.labels["stage"], {})[sample.labels["what"]] = sample.value
        for stage, values in said.items():
            if (load := load_of(values)) is not None:
                loads.setdefault(stage, []).append(load)
    return wanted, loads


def _together(loads: list[StageLoad]) -> StageLoad:
    """Of several runs. What a worker can do is that of the mean."""
    from ..stages.scaling import StageLoad

    able = [load.capacity for load in loads if load.capacity]
    return StageLoad(
        sum(load.rate for load in loads),
        sum(able) / len(able) if able else 0.0,
        sum(load.lag for load in loads),
        max(load.late for load in loads),
        sum(load.partitions for load in loads),
        max(load.held for load in loads),
    )
