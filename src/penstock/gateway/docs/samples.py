"""Values for the examples of /docs: names from the running app, and events that its topics would accept."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from string import Template
from typing import Any

import msgspec
import pyarrow as pa

from ...batch import TopicSpec
from ...plan.graph import hops, ways
from ...plan.plan import Plan
from ...plan.reachability import reached
from ...schema.rows import children, is_json, rules_of
from ..doors.eventgrid import VALIDATION_TYPE

DOMAIN_TOPIC = "acme"
_VALUES: list[tuple[pa.DataType, Any]] = [
    (pa.bool_(), True),
    (pa.int64(), 1),
    (pa.float64(), 1.5),
    (pa.string(), "text"),
    (pa.binary(), "AAEC"),
    (pa.timestamp("us", tz="UTC"), "2026-01-31T12:00:00Z"),
    (pa.date32(), "2026-01-31"),
]


class Samples:
    """Fills the templates of examples; ``$host`` is left for the page, which is asked under some address."""

    def __init__(self, plan: Plan) -> None:
        known = hops(plan)
        made = {hop.target for hop in known}
        plain = [t for t in plan.topics if not t.domain]
        entries = [t for t in plain if t.name not in made] or plain
        domains = [t for t in plan.topics if t.domain]
        domain = next((t for t in domains if t.name not in made), next(iter(domains), TopicSpec("DOMAIN")))
        first = entries[0] if entries else TopicSpec("TOPIC")
        model = next((m for m in plan.models if m.inputs), next(iter(plan.models), None))
        event = sample(first)
        column = {"name": "COLUMN", "datatype": "FP64", "shape": [2], "data": [1.5, 2.5]}
        inputs = [column | {"name": name} for name in (model and model.inputs) or ("COLUMN",)]
        outputs = [column | {"name": name} for name in (model.outputs if model else ("COLUMN",))]
        cloud = {"specversion": "1.0", "id": "1", "source": "/shop", "type": "example", "data": event}
        grid = {"id": "1", "subject": "shop/1", "eventType": "example", "eventTime": "2026-01-31T12:00:00Z"}
        self._bodies = {
            "event": event,
            "addressed": [{"_topic": DOMAIN_TOPIC, **sample(domain)}],
            "ofdomain": sample(domain),
            "cloud": cloud,
            "grid": [grid | {"data": event, "dataVersion": "1.0"}],
            "validation": [grid | {"eventType": VALIDATION_TYPE, "data": {"validationCode": "CODE"}}],
            "inputs": {"inputs": inputs},
            "outputs": outputs,
            "described": [{"name": i["name"], "datatype": i["datatype"], "shape": [-1]} for i in inputs],
        }
        self._names = {
            "app": plan.app,
            "topic": first.name,
            "domain": domain.name,
            "tenant": DOMAIN_TOPIC,
            "target": [first.name, *reached([first.name], ways(known))][-1],
            "model": model.name if model else "MODEL",
            "subscription": plan.subscriptions[0].name if plan.subscriptions else "SUBSCRIPTION",
            "output": model.outputs[0] if model and model.outputs else "COLUMN",
        }

    def command(self, template: str) -> str:
        """A line for a shell."""
        bodies = {name: shlex.quote(_json(body)) for name, body in self._bodies.items()}
        return Template(template).safe_substitute(self._names | bodies)

    def answer(self, template: str) -> str:
        """What comes back."""
        bodies = {name: _json(body) for name, body in self._bodies.items()}
        return Template(template).safe_substitute(self._names | bodies)

    def name(self, parameter: str) -> str:
        """The value of a parameter in a path."""
        known = {"alias": "canary", "version": "1", "partition": "0", "offset": "7"}
        known |= {"key": "Zq3T8vX1cM", "token": "TOKEN"}
        return known.get(parameter) or self._names[parameter]


def sample(topic: TopicSpec) -> Any:
    """An event that the topic accepts, unless a pattern or a multiple says otherwise."""
    if is_json(topic.schema):
        return {"any": "JSON"}
    return {field.name: _value(field) for field in topic.schema}


def _value(field: pa.Field) -> Any:
    rules = rules_of(field)
    if values := rules.get("enum"):
        return values[0]
    if "default" in rules and rules["default"] is not None:
        return rules["default"]
    kind = field.type
    if pa.types.is_struct(kind):
        return {child.name: _value(child) for child in children(field)}
    if pa.types.is_list(kind):
        return [_value(children(field)[0])] * max(1, rules.get("min_length", 1))
    found = next((value for known, value in _VALUES if kind == known), None)
    return _within(found, rules)


def _within(value: Any, rules: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return value[: rules.get("max_length")].ljust(rules.get("min_length", 0), "x")
    if isinstance(value, int | float) and not isinstance(value, bool):
        low = rules.get("ge", rules["gt"] + 1 if "gt" in rules else None)
        high = rules.get("le", rules["lt"] - 1 if "lt" in rules else None)
        value = value if low is None or value >= low else low
        value = value if high is None or value <= high else high
    return value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
