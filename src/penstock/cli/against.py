"""An app beside what runs already: `check --against`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from ..batch import TopicSpec
from ..client.connection import connect
from ..clock import SystemClock
from ..declare.checking.compare import Deployed, compare
from ..declare.planning.findings import Finding
from ..errors import CannotStart
from ..plan.plan import Plan
from ..run.compose.backends import open_log
from ..run.directory import DataDirectory
from ..settings import Settings


def findings(plan: Plan, against: str) -> list[Finding]:
    """``against``: a server's address, or a data directory, in use or not."""
    return compare(plan, _of_server(against) if "://" in against else _of_directory(Path(against)))


def _of_server(url: str) -> Deployed:
    with connect(url) as server:
        specs = [
            TopicSpec(t["name"], server.schema(t["name"]), t["partitions"], t["key"], encoding=t["encoding"])
            for t in server.topics()
        ]
        return Deployed(specs, _by_group((g["group"], g["topic"]) for g in server.groups()))


def _of_directory(path: Path) -> Deployed:
    if not (path / "log.db").is_file():
        raise CannotStart(f"--against {path}: there is no log.db in it; give a data directory or http://HOST:PORT")
    log = open_log(DataDirectory(path), SystemClock(), Settings.from_env())
    try:
        return Deployed(log.topics(), _by_group((g.group, g.topic) for g in log.groups()))
    finally:
        log.close()


def _by_group(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group, topic in pairs:
        if topic not in found.setdefault(group, []):
            found[group].append(topic)
    return found
