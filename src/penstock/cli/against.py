"""An app beside what runs already: `check --against`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..batch import TopicSpec
from ..client.connection import Client, connect
from ..clock import SystemClock
from ..declare.checking.compare import Deployed, compare
from ..declare.planning.findings import Finding
from ..errors import CannotStart
from ..plan.codec import plan_from_bytes
from ..plan.plan import Plan
from ..run.compose.backends import open_log
from ..run.directory import DataDirectory
from ..settings import Settings


def findings(plan: Plan, against: str) -> list[Finding]:
    """``against``: a server's address, or a data directory, in use or not. The latter knows of subscriptions all that
    the file said; a server shows nothing that may be secret."""
    return compare(plan, _of_server(against) if "://" in against else _of_directory(Path(against)))


def _of_server(url: str) -> Deployed:
    with connect(url) as server:
        specs = [_spec(server, told) for told in server.topics()]
        groups = _by_group((g["group"], g["topic"]) for g in server.groups())
        return Deployed(specs, groups, shown=server.subscriptions())


def _spec(server: Client, told: Mapping[str, Any]) -> TopicSpec:
    name, domain = told["name"], told.get("domain", False)
    schema = server.schema(f"{name}/*" if domain else name)
    return TopicSpec(name, schema, told["partitions"], told["key"], encoding=told["encoding"], domain=domain)


def _of_directory(path: Path) -> Deployed:
    if not (path / "log.db").is_file():
        raise CannotStart(f"--against {path}: there is no log.db in it; give a data directory or http://HOST:PORT")
    directory = DataDirectory(path)
    plan = directory.last_plan
    subscriptions = plan_from_bytes(plan.read_bytes()).subscriptions if plan else ()
    log = open_log(directory, SystemClock(), Settings.from_env())
    try:
        return Deployed(log.topics(), _by_group((g.group, g.topic) for g in log.groups()), subscriptions)
    finally:
        log.close()


def _by_group(pairs: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for group, topic in pairs:
        if topic not in found.setdefault(group, []):
            found[group].append(topic)
    return found
