"""Writes docs/api.md from the docstrings of the public names, docs/metrics.md and docs/rights.md from what is declared:
``make docs``.

Public are the names in ``__all__`` of ``penstock`` and ``penstock.testing``, and every error. A docstring is a
contract, errors included: tests/docs/test_reference.py says what it must have, and runs its examples.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import penstock
from penstock import errors, testing
from penstock.access.rights import ROLES, Rights
from penstock.client.connection import Readiness
from penstock.gateway.app import is_open
from penstock.gateway.routes import EACH, ROUTES, Route
from penstock.telemetry.metrics import Metric, declared

PAGE, METRICS, RIGHTS = (Path(__file__).with_name(name) for name in ("api.md", "metrics.md", "rights.md"))
HEAD = """# The Python side

<!-- Written by `make docs` from the docstrings. -->

`import penstock as ps` is all that an app's file needs; it loads nothing heavy. `help(ps)` says what this page says.
"""
ALIASES = {
    "JSON": "The type of an event without a type: `dict[str, Any]`.",
    "Duration": 'A text, or a `timedelta`: `"7d"`, `"24h"`, `"1h30m"`, `"200ms"`; units `w d h m s ms us`.',
}
DECLARING = (
    "App",
    "Topic",
    "Domain",
    "DomainTopic",
    "Source",
    "Model",
    "Retry",
    "KafkaTopic",
    "Duration",
    "JSON",
    "env",
    "secret",
    "Ref",
)
RIGHTS_HEAD = """# What each key may do

<!-- Written by `make docs` from the table of doors. -->

With [`--access keys`](access.md) a door opens to a key that has its right, and to no other. The right is a verb and a
name; a role is a word for several. "what is allowed": the door shows and touches those things to which the caller has
the right, and no others.
"""
METRICS_HEAD = """# Metrics

<!-- Written by `make docs` from the declarations. -->

`GET /metrics` is Prometheus' text format for all processes together. A series is there from its first event on, those
of `penstock_ingest_events_total` and `penstock_ingest_bytes_total` from the start. Of `penstock_setbacks_total` the
`kind` is `sick` (positions are held), `fenced` (partitions went to another worker) or `overtaken` (retention removed
events before the stage dealt with them); of `penstock_ingest_refused_total` the `reason` is the HTTP status; of
`penstock_scale_load` the `what` is a figure that [the number of workers](kafka.md#how-many-workers) comes from.
"""
CALLED = (
    "Event", "Models", "Loaded", "Subscriptions", "SystemEvent", "ModelRegistered", "ModelPromoted", "ModelDeployed",
    "EventDeadLettered", "SubscriptionDisabled", "Reject", "Unavailable",
)  # fmt: skip
# their tests are no names to call
SUITES = ("DestinationContract", "DoorContract", "LogContract", "ObjectsContract", "RuntimeContract", "StageContract")


class Entry(NamedTuple):
    """``title`` as one writes the name; ``within`` is the docstring of the class that it belongs to."""

    title: str
    value: Any
    within: str = ""

    @property
    def text(self) -> str:
        return inspect.cleandoc(ALIASES.get(self.title.removeprefix("ps."), "") or own_doc(self.value) or "")


def sections() -> Iterator[tuple[str, list[Entry]]]:
    """Everything public, in the order of the page."""
    yield "Declaring an app", [e for name in DECLARING for e in entries(f"ps.{name}", getattr(penstock, name))]
    yield "In your functions", [e for name in CALLED for e in entries(f"ps.{name}", getattr(penstock, name))]
    yield "Azure Event Grid's filters", [
        e for name in ("Filter", "AdvancedFilter")
        for e in entries(f"ps.eventgrid.{name}", getattr(penstock.eventgrid, name))
    ]  # fmt: skip
    client = [("ps.connect", penstock.connect), ("ps.Client", penstock.Client), ("Readiness", Readiness)]
    yield "The client of a running Penstock", [e for name, value in client for e in entries(name, value)]
    yield "In your tests: `from penstock import testing`", [
        e for name in ("run", "Running", "DeadLetter", "assert_rowwise", *SUITES)
        for e in entries(f"testing.{name}", getattr(testing, name))
    ]  # fmt: skip
    yield "Errors: `penstock.errors`", [
        Entry(kind.__name__, kind) for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PenstockError) and kind.__name__ not in CALLED
    ] + [Entry("install", errors.install)]  # fmt: skip


def entries(title: str, value: Any) -> list[Entry]:
    """The name itself, and the public methods and properties that its class has or inherits from one of ours."""
    found = [Entry(title, value)]
    if not isinstance(value, type) or title.rpartition(".")[2] in SUITES:
        return found
    for name in dict.fromkeys(
        name for kind in value.__mro__ if kind.__module__.startswith("penstock") for name in vars(kind)
    ):
        member = inspect.getattr_static(value, name)
        if not name.startswith("_") and isinstance(member, property | classmethod | staticmethod | type(entries)):
            found.append(Entry(f"{title}.{name}", member, own_doc(value) or ""))
    return found


def own_doc(value: Any) -> str | None:
    """What somebody wrote; not what ``dataclass`` writes where nobody did."""
    text = value.__doc__
    generated = isinstance(value, type) and bool(text) and text.startswith(f"{value.__name__}(")
    return None if generated else text


# -- writing ------------------------------------------------------------------


def page() -> str:
    parts = [HEAD]
    for heading, found in sections():
        parts.append(f"## {heading}\n")
        parts += [written(entry) for entry in found]
    return "\n".join(parts)


def written(entry: Entry) -> str:
    signed = signature(entry)
    lines = [f"### `{entry.title}`\n"]
    if signed:
        lines.append(f"```python\n{signed}\n```\n")
    return "\n".join([*lines, markdown(entry.text)])


def signature(entry: Entry) -> str:
    """As one would write it, a parameter a line where it is long; empty for what is not called."""
    value = entry.value.__func__ if isinstance(entry.value, classmethod | staticmethod) else entry.value
    if isinstance(value, property) or not callable(value) or entry.title.removeprefix("ps.") in ALIASES:
        return ""
    if isinstance(value, type) and (value.__init__ is object.__init__ or value.__init__ is Exception.__init__):
        return ""
    found = inspect.signature(value)
    name = entry.title.rpartition(".")[2] if entry.within else entry.title
    given = [parameter for parameter in found.parameters.values() if parameter.name not in ("self", "cls")]
    returns = "" if isinstance(value, type) or annotation(found.return_annotation) in ("", "None") else (
        f" -> {annotation(found.return_annotation)}"
    )  # fmt: skip
    parts = list(parameters(given))
    text = f"{name}({', '.join(parts)}){returns}"
    if len(text) <= 100:
        return text
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])


def parameters(given: list[inspect.Parameter]) -> Iterator[str]:
    keywords = False
    for parameter in given:
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            yield "*"
        keywords |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        kind = annotation(parameter.annotation)
        default = "" if parameter.default is parameter.empty else f" = {shown(parameter.default)}"
        yield f"{stars}{parameter.name}{': ' * bool(kind)}{kind}{default}"


def annotation(given: Any) -> str:
    """As it is written in the source, which a future import keeps as text."""
    if given is inspect.Parameter.empty:
        return ""
    return given if isinstance(given, str) else getattr(given, "__name__", str(given))


def shown(default: Any) -> str:
    return f"ps.{default!r}" if isinstance(default, penstock.Retry) else repr(default)


def markdown(text: str) -> str:
    """A docstring: its names in code, its examples fenced."""
    lines: list[str] = []
    fenced = False
    for line in text.splitlines():
        if line.startswith(">>>") and not fenced:
            lines += ["```pycon", line]
            fenced = True
        elif fenced and not line:
            lines += ["```", ""]
            fenced = False
        else:
            lines.append(line if fenced else line.replace("``", "`"))
    return "\n".join([*lines, *(["```"] if fenced else []), ""])


# -- rights -------------------------------------------------------------------


def rights_page() -> str:
    roles = [name for name in ROLES if name != "admin"]
    lines = [RIGHTS_HEAD, "| role | its rights |", "|---|---|"]
    for name, rights in ROLES.items():
        lines.append(f"| `{name}` | {', '.join(f'`{right}`' for right in rights.split(','))} |")
    lines += ["", "`admin` opens every door.", ""]
    lines += [f"| door | right | {' | '.join(roles)} |", f"|---|---|{'---|' * len(roles)}"]
    for route in ROUTES:
        name = re.sub(r"{(\w+)}", lambda found: found[1].upper(), route.on)
        asked = f"`{route.verb}:{name}`" if name else f"`{route.verb}`, what is allowed"
        asked = "none" if is_open(route) else asked
        marks = ["✓" if _opens(role, route) else "" for role in roles]
        lines.append(f"| `{route.method} {route.path}` | {asked} | {' | '.join(marks)} |")
    return "\n".join([*lines, ""])


def _opens(role: str, route: Route) -> bool:
    rights = Rights.parse(ROLES[role])
    if is_open(route):
        return True
    if route.on == EACH:
        return any(right.startswith(f"{route.verb}:") for right in rights.texts)
    return rights.may(route.verb, re.sub("{.*?}", "x", route.on))


# -- metrics ------------------------------------------------------------------


def every_metric() -> list[Metric[Any]]:
    """Of the whole project, by name: the rooms that declare some are imported."""
    source = Path(penstock.__path__[0])
    for file in sorted(source.rglob("*.py")):
        if "telemetry.metrics import" in file.read_text():
            import_module(".".join(file.relative_to(source.parent).with_suffix("").parts))
    return sorted(declared(), key=lambda metric: metric.series)


def metrics_page() -> str:
    found = every_metric()
    lines = [METRICS_HEAD, "| metric | kind | labels | |", "|---|---|---|---|"]
    for metric in found:
        labels = ", ".join(f"`{label}`" for label in metric.label_names)
        lines.append(f"| `{metric.series}` | {metric.kind} | {labels} | {metric.help} |")
    lines += ["", "The buckets of histograms, up to and including:", ""]
    for metric in found:
        if metric.buckets:
            lines.append(f"- `{metric.series}`: {', '.join(f'{bound:g}' for bound in metric.buckets)}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page())
    METRICS.write_text(metrics_page())
    RIGHTS.write_text(rights_page())
