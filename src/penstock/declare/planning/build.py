"""App -> Plan, with everything that is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa

from ...batch import JSON_SCHEMA, TopicSpec
from ...plan.edges import START, references
from ...plan.places import located, portable
from ...plan.plan import ModelSpec, Plan, ResourceSpec, StageSpec
from ...plan.references import value_of
from ..app import App
from ..parts import Domain, Model, ResourcePart, StagePart, Topic
from ..values import Ref
from .findings import Finding, FindingCollector
from .functions import ResourceShape, function_shapes, resource_shapes, shown
from .injection import check_injection
from .kinds import PLANNERS, fed, in_order, specs
from .subscriptions import plan_subscription
from .topics import Columns, ModelColumns, Signatures
from .topology import check_circles, check_keys, check_links, check_names, check_order


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
    looked up; one that has no value is a warning, for the plan may be made where it is not known. Calls the app's batch
    functions that need nothing injected, once, with zero rows.
    """
    report, parts = FindingCollector(), app.parts
    check_names(parts, report)
    check_links(parts, report)
    shapes = function_shapes(parts, report)
    resources = {p: s for p, s in resource_shapes(parts, report).items() if s.provides not in provided}
    check_injection(shapes, resources, provided, report)
    columns = Columns(parts, shapes, signatures, fed, report)
    schemas = {topic: columns.of(topic) for topic in parts.topics}
    check_keys(schemas, report)
    check_circles(parts, report)
    check_order(parts, report)
    stages = in_order(parts)
    for part in stages:
        PLANNERS[type(part)].check(part, columns, report)
    folder = folder_of(app)
    subscriptions = [
        replace(plan_subscription(part, columns, environ, report), place=portable(part.place, folder))
        for part in parts.subscriptions
    ]
    plan = Plan(
        app.name,
        portable(target, folder),
        code,
        tuple(_topic(app, topic, schema, folder) for topic, schema in schemas.items()),
        tuple(_stage(part, columns, folder) for part in stages),
        tuple(_model(model, app, environ, report) for model in parts.models),
        tuple(_resource(part, shape, folder) for part, shape in resources.items()),
        untyped=tuple(topic.name for topic in schemas if topic.type is None),
        place=portable(app.place, folder),
        subscriptions=tuple(subscriptions),
        open_to_subscriptions=app.open_to_subscriptions,
    )
    if environ is not None:
        _check_references(located(plan, folder), environ, report.warning)
    return ResolvedApp(plan, tuple(report.findings))


def folder_of(app: App) -> Path:
    """Of the app's file: what it names is relative to that, so that it does not matter where Penstock is started."""
    return Path(app.file).absolute().parent


def _check_references(plan: Plan, environ: Mapping[str, str], tell: Callable[[str, str, str], None]) -> None:
    delivering = {subscription.name for subscription in plan.subscriptions}
    for who, ref, place in references(plan):
        if not ref.is_given(environ):
            waits = "the model gets no version of its file" if who == START else f"stage '{who}' is not ready"
            waits = f"subscription '{who}' delivers nothing" if who in delivering else waits
            tell(place, f"{ref} has no value", f"set the environment variable {ref.variable}: without it {waits}")


def plan_of(app: App, *, environ: Mapping[str, str] | None = None, **options: Any) -> Plan:
    """The plan, of this machine, of an app whose stages have nothing to wait for; options as for ``resolve``.

    Where a subscription delivers to may stay unknown. Raises one ``DeclarationError`` that shows all that is wrong.
    """
    resolved = resolve(app, environ=environ, **options)
    report, plan = FindingCollector(list(resolved.findings)), located(resolved.plan, folder_of(app))
    if environ is not None:
        _check_references(replace(plan, subscriptions=()), environ, report.error)
    report.raise_errors()
    return plan


def _topic(app: App, topic: Topic[Any], schema: pa.Schema | None, folder: Path) -> TopicSpec:
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
        source=f"/{app.name}/{topic.name}",
        place=portable(topic.place, folder),
        domain=isinstance(topic, Domain),
    )


def _stage(part: StagePart, columns: Columns, folder: Path) -> StageSpec:
    return replace(PLANNERS[type(part)].spec(part, columns), place=portable(part.place, folder), to_topic=part.to_topic)


def _resource(part: ResourcePart, shape: ResourceShape, folder: Path) -> ResourceSpec:
    return ResourceSpec(
        shown(shape.provides),
        tuple(map(shown, shape.asked.types.values())),
        specs(shape.asked.refs.values()),
        portable(part.place, folder),
    )


def _model(model: Model, app: App, environ: Mapping[str, str] | None, report: FindingCollector) -> ModelSpec:
    artifact, trust = _value(model.artifact, environ), _value(model.trust, environ)
    if trust is not None and not re.fullmatch(r"sha256:[0-9a-f]{64}", trust):
        mend = "write trust='sha256:' and the 64 hexadecimal digits that sha256sum prints for the artifact"
        report.error(model.place, f"trust={model.trust!r} is not a digest", mend)
        trust = None
    path = None if artifact is None else artifact_path(app, artifact)
    if path is not None and not path.is_file():
        named = repr(model.artifact) if isinstance(model.artifact, Ref) else path
        mend = "until a version is registered its scorers wait; write the file there, or leave the artifact away"
        report.warning(model.place, f"the model '{model.name}' has no file {named}", mend)
        path = None
    if path is not None and trust is not None:
        _check_trust(model, path, trust, report)
    return ModelSpec(
        model.name,
        model.outputs,
        model.alias,
        model.artifact.spec if isinstance(model.artifact, Ref) else (None if path is None else model.artifact),
        model.inputs,
        model.trust.spec if isinstance(model.trust, Ref) else trust,
        portable(model.place, folder_of(app)),
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
    return (folder_of(app) / artifact).resolve()


def _value(text: str | None, environ: Mapping[str, str] | None) -> str | None:
    """None also for what has no value here, which is told of the whole plan (``_check_references``)."""
    if not isinstance(text, Ref):
        return text
    return None if environ is None else value_of(text.spec, environ)
