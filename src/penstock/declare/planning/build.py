"""App -> Plan, with everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...batch import JSON_SCHEMA, SYSTEM, TopicSpec
from ...errors import DeclarationError
from ..app import App
from ..parts import FunctionPart, Model, ScorePart, Topic
from ..plan import FunctionSpec, ModelSpec, Plan, ScoreSpec
from ..values import Ref
from .findings import Finding, FindingCollector
from .functions import FunctionShape, function_shapes, resource_shapes, shown
from .injection import check_injection
from .stages import check_function, check_scorer
from .topics import Columns, ModelColumns, Signatures
from .topology import check_circles, check_keys, check_links, check_names


@dataclass(frozen=True, slots=True)
class ResolvedApp:
    """``plan`` is as good as it could be made: to draw it is fine, to run it only without errors in ``findings``."""

    plan: Plan
    findings: tuple[Finding, ...]


def unknown_signature(model: Model, offered: pa.Schema) -> ModelColumns | None:
    return None


def resolve(
    app: App,
    *,
    target: str = "",
    code: str = "",
    signatures: Signatures = unknown_signature,
    provided: Collection[type] = (),
    environ: Mapping[str, str] | None = None,
) -> ResolvedApp:
    """Look at everything that was declared.

    ``provided`` are types injected from outside (tests). Without ``environ``, references to the environment are not
    looked up. Calls the app's batch functions that need nothing injected, once, with zero rows.
    """
    report, parts = FindingCollector(), app.parts
    check_names(parts, report)
    check_links(parts, report)
    shapes = function_shapes(parts, report)
    check_injection(shapes, resource_shapes(parts, report), provided, environ, report)
    columns = Columns(parts, shapes, signatures, report)
    schemas = {topic: columns.of(topic) for topic in parts.topics}
    check_keys(schemas, report)
    check_circles(parts, report)
    for part, shape in shapes.items():
        check_function(part, shape, columns, report)
    for scorer in parts.scorers:
        check_scorer(scorer, columns, report)
    plan = Plan(
        app.name,
        target,
        code,
        tuple(_topic(topic, schema) for topic, schema in schemas.items()),
        tuple(_function(part, shapes.get(part)) for part in parts.functions),
        tuple(_scorer(part) for part in parts.scorers),
        tuple(_model(model, app, environ, report) for model in parts.models),
        untyped=tuple(topic.name for topic in schemas if topic.type is None),
    )
    return ResolvedApp(plan, tuple(report.findings))


def plan_of(app: App, **options: Any) -> Plan:
    """The plan of an app that can run; options as for ``resolve``.

    Raises one ``DeclarationError`` that shows all that is wrong.
    """
    resolved = resolve(app, **options)
    FindingCollector(list(resolved.findings)).raise_errors()
    return resolved.plan


def _topic(topic: Topic[Any], schema: pa.Schema | None) -> TopicSpec:
    return TopicSpec(
        topic.name,
        JSON_SCHEMA if schema is None else schema,
        topic.partitions,
        topic.key,
        topic.retain_us,
        topic.retain_bytes,
        topic.dedupe_us,
        topic.encoding,
        topic.extra,
    )


def _function(part: FunctionPart, shape: FunctionShape | None) -> FunctionSpec:
    return FunctionSpec(
        part.name,
        part.source.name if isinstance(part.source, Topic) else SYSTEM,
        None if part.to is None else part.to.name,
        "event" if shape is None else shape.takes,
        is_async=shape is not None and shape.is_async,
        event=None if isinstance(part.source, Topic) else part.source.event_type,
        where=part.where,
        start=part.start,
        timeout=part.timeout,
        attempts=part.retry.attempts,
        ttl=part.retry.ttl_seconds,
        concurrency=part.concurrency,
        injects=() if shape is None else tuple(shown(kind) for kind in shape.asked.types.values()),
        place=part.place,
    )


def _scorer(part: ScorePart) -> ScoreSpec:
    return ScoreSpec(
        part.name,
        part.source.name,
        part.model.name,
        part.to.name,
        part.keep,
        part.start,
        part.timeout,
        part.retry.attempts,
        part.retry.ttl_seconds,
        part.place,
    )


def _model(model: Model, app: App, environ: Mapping[str, str] | None, report: FindingCollector) -> ModelSpec:
    artifact, trust = (_value(text, model, environ, report) for text in (model.artifact, model.trust))
    if trust is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", trust):
        mend = "write trust='sha256:' and the 64 hexadecimal digits that sha256sum prints for the artifact"
        report.error(model.place, f"trust={trust!r} is not a digest", mend)
        trust = None
    path = None if artifact is None else artifact_path(app, artifact)
    if path is not None and not path.is_file():
        mend = "until a version is registered its scorers wait; write the file there, or leave the artifact away"
        report.warning(model.place, f"the model '{model.name}' has no file {path}", mend)
        path = None
    if path is not None and trust is not None:
        _check_trust(model, path, trust, report)
    return ModelSpec(
        model.name,
        model.outputs,
        model.alias,
        None if path is None else str(path),
        model.inputs,
        trust,
        model.place,
        model.on_change,
    )


def _check_trust(model: Model, path: Path, trust: str, report: FindingCollector) -> None:
    """A digest is of one file: of the one before, it would have the registry refuse what lies there now."""
    try:
        with path.open("rb") as file:
            found = f"sha256:{file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        report.error(model.place, f"{path} cannot be read: {error.strerror}", "give this process the right to read it")
        return
    if found != trust:
        mend = f"if you know what is in it, write trust='{found}'"
        report.error(model.place, f"trust= is not of the file that is there: {path} has another digest", mend)


def artifact_path(app: App, artifact: str) -> Path:
    """Relative to the app's file, so that it does not matter where Penstock is started."""
    return (Path(app.file).absolute().parent / artifact).resolve()


def _value(text: str | None, model: Model, environ: Mapping[str, str] | None, report: FindingCollector) -> str | None:
    if not isinstance(text, Ref):
        return text
    if environ is None:
        return None
    try:
        return text.resolve(environ)
    except DeclarationError as error:
        report.error(model.place, f"the model '{model.name}': {error}", f"set {text.variable}")
        return None
