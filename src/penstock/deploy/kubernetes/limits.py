"""What Kubernetes and the Kafka beside it can hold of an app: the names of objects and of topics."""

from __future__ import annotations

from ...declare.planning.findings import FindingCollector
from ...log.broker_limits import NAME, NAME_LIMIT_CHARS, NAMESPACE_LIMIT_CHARS
from ..names import Titled, app, check_legal, check_unique, dashed, logs, secrets, services
from ..requirements import Requirements
from .names import own_secrets

LABEL, LABEL_LIMIT_CHARS = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", 63  # of DNS, RFC 1123

REMARKS = ("topics, groups and transactions on Kafka begin with the app's name, as in --log kafka://…/APP",)


def check_limits(needed: Requirements, report: FindingCollector) -> None:
    """Adds what cannot be held to the report, each with its place and what to write instead."""

    def named(name: str) -> str:
        return dashed(needed.app, name)

    why = f"an object's name on Kubernetes has up to {LABEL_LIMIT_CHARS} small letters, digits and dashes"
    named_after = [app(needed, dashed(needed.app))]
    for kind in (named_after, logs(needed, named), secrets(needed, named), services(needed, named)):
        check_legal(kind, LABEL, LABEL_LIMIT_CHARS, why, report)
        check_unique(kind, report)
    own = [Titled(f"the Secret of {title}", named(name), "Penstock's own", "") for name, title in own_secrets().items()]
    check_unique([*own, *secrets(needed, named)], report)
    letters = f"[{''.join(sorted(NAME - {'-'}))}-]+"
    why = f"what begins a topic's name on Kafka has up to {NAMESPACE_LIMIT_CHARS} letters, digits, '.', '_' and '-'"
    check_legal([app(needed, needed.app)], letters, NAMESPACE_LIMIT_CHARS, why, report)
    why = f"a topic's name on Kafka has up to {NAME_LIMIT_CHARS} letters, digits, '.', '_' and '-'"
    check_legal(logs(needed, f"{needed.app}.{{}}".format), letters, NAME_LIMIT_CHARS, why, report)
