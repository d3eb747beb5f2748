"""What the owner of ``penstock.system`` allows an app's subscriptions at run time."""

from __future__ import annotations

from ....declare.sources import source_of
from ....log.interface import Offsets
from ....plan.plan import Plan
from ....settings import Settings
from .state import PlacedSource, PutRules


def put_rules(plan: Plan, log: Offsets, settings: Settings) -> PutRules:
    """Names of the file are its own: of its subscriptions, which are read-only, and of its stages, with which they
    share the names of dead letters."""
    whose = {stage.name: "a stage of the app's file" for stage in plan.stages}
    whose |= {each.name: "a subscription of the app's file, which is read-only here" for each in plan.subscriptions}

    def find(source: str) -> PlacedSource:
        topic = source_of(source, plan).topic
        return PlacedSource(topic, log.ends(topic))

    return PutRules(
        lambda name: whose.get(name, ""), find, settings.subscriptions_per_source, settings.subscriptions_limit
    )
