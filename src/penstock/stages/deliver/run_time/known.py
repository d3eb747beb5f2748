"""All subscriptions of a running app, of its file and put at run time, for whoever looks at them by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ....declare.sources import source_of
from ....errors import NotFound
from ....plan.plan import Plan, SubscriptionSpec
from ....system.view import View
from .state import RunTimeState


class KnownSubscriptions:
    """As of the view's last ``refresh``; cheap to make. A name of the file is the file's, whatever was put."""

    def __init__(self, plan: Plan, view: View) -> None:
        self._plan, self._view = plan, view
        self._state = view.areas.only(RunTimeState)
        self._files = {spec.name: spec for spec in plan.subscriptions}

    def get(self, name: str) -> SubscriptionSpec | None:
        if (spec := self._files.get(name)) is not None:
            return spec
        stored = self._state.get(name)
        if stored is None:
            return None
        put = stored.subscription
        try:
            source = source_of(put.source, self._plan)
        except NotFound:  # the app has it no more; nobody delivers
            return put.spec(put.source, None, None)
        return put.spec(source.topic, source.event, source.domain_topic)

    def names(self) -> Iterator[str]:
        """Those of the file in its order, then the others in that of their names."""
        yield from self._files
        with self._view.lock:
            found = list(self._state.names())
        yield from sorted(name for name in found if name not in self._files)

    def is_served(self, spec: SubscriptionSpec) -> bool:
        """Does the app's file still take it, and have its source?"""
        if not spec.run_time:
            return True
        there = spec.event is not None or any(topic.name == spec.source for topic in self._plan.topics)
        return there and self._plan.invites_subscriptions

    def whole_plan(self) -> Plan:
        """With those that were put at run time among the file's."""
        found = [spec for name in self.names() if (spec := self.get(name)) is not None]
        return replace(self._plan, subscriptions=tuple(found))
