"""What a user must know of an app beside what already ran, found before it starts."""

from __future__ import annotations

from collections.abc import Iterable

from ...declare.checking.compare import renamed_stages, unknown_fields
from ...declare.planning.findings import Finding
from ...errors import LogError
from ...log.interface import GroupState, LogInspection
from ...plan.plan import Plan
from ...telemetry import logger

log = logger(__name__)


def remarks_on(plan: Plan, deployed: LogInspection) -> tuple[Finding, ...]:
    """Stages that would read everything again, to be told as long as the app runs. That it is an older version, which
    does not know some fields, is logged once.

    Changes nothing. Where the log does not say what it holds, that is logged, and nothing is remarked.
    """
    try:
        topics, groups = deployed.topics(), deployed.groups()
    except LogError as error:
        log.warning("cannot tell what ran before, so renamed stages are not looked for", reason=str(error))
        return ()
    for finding in unknown_fields(plan, topics):
        log.warning(finding.message, mend=finding.mend)
    return tuple(renamed_stages(plan, _by_group(groups)))


def _by_group(groups: Iterable[GroupState]) -> dict[str, list[str]]:
    """The topics that each group has a position on."""
    found: dict[str, list[str]] = {}
    for group in groups:
        if group.through is not None and group.topic not in found.setdefault(group.group, []):
            found[group.group].append(group.topic)
    return found
