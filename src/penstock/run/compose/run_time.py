"""Subscriptions put at run time, in a courier: opened, given to the router of their source, and closed again."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Event, RLock, Thread
from typing import TYPE_CHECKING, Any

from ...declare.sources import source_of
from ...errors import PenstockError
from ...notices import notices
from ...stages.deliver.run_time.router import ChangingRouter, RouteChange
from ...stages.deliver.run_time.state import RunTimeState, StoredSubscription
from ...stages.deliver.state import DeliveryState
from ...stages.deliver.subscriptions import Subscription

if TYPE_CHECKING:
    from .deliveries import CourierComposition
    from .stages import RunningStage


@dataclass(frozen=True, slots=True)
class OpenedRoute:
    """``topic``: of the router that serves it."""

    stored: StoredSubscription
    subscription: Subscription
    topic: str


class RunTimeRoutes:
    """For any thread, one at a time: whoever comes while another is at it waits, and knows then what that knew.

    ``routers``: by topic, those of the file's subscriptions too. ``threads``: a live list of all that must not end,
    with ``routing``, those of routers that were begun while the courier ran.
    """

    def __init__(self, courier: CourierComposition) -> None:
        self.routers: dict[str, ChangingRouter] = {}
        self.threads: list[Thread] = []
        self.routing: list[Thread] = []
        self._courier = courier
        self._state = courier.registry.view.areas.only(RunTimeState)
        self._deliveries = courier.registry.view.areas.only(DeliveryState)
        self._files = {spec.name for spec in courier.plan.subscriptions}
        self._opened: dict[str, OpenedRoute] = {}
        self._broken: dict[str, StoredSubscription] = {}  # that cannot be delivered to, and are told of
        self._lock = RLock()
        self._seen = -1  # the state's version
        self._stop: Event | None = None  # once lines may be started
        self._waits = False  # a line could not be started yet

    def go(self, stop: Event) -> None:
        """The courier's lines run: from here on a new router is begun at once."""
        with self._lock:
            self._stop = stop
            self._seen = -1 if self._waits else self._seen
        self.sync()

    def refresh(self) -> None:
        """With what is in the log by now. Raises ``PenstockError`` where that cannot be read."""
        self._courier.registry.refresh()
        self.sync()

    def sync(self) -> None:
        """Those that the view knows are those that are served. What cannot be opened is told, and slows nobody."""
        with self._lock:
            if self._seen == self._state.version or not self._courier.plan.invites_subscriptions:
                return
            with self._courier.registry.view.lock:
                seen, wanted = self._state.version, self._state.stored()
            self._waits = False
            for name in [name for name in (*self._opened, *self._broken) if name not in wanted]:
                self._end(name)
            for name, stored in wanted.items():
                opened = self._opened.get(name)
                before = self._broken.get(name) if opened is None else opened.stored
                if name not in self._files and before != stored:
                    self._begin(name, stored)
            self._seen = -1 if self._waits and self._stop is not None else seen

    def _begin(self, name: str, stored: StoredSubscription) -> None:
        courier, before = self._courier, self._opened.get(name)
        try:
            put = stored.subscription
            source = source_of(put.source, courier.plan)
            spec = put.spec(source.topic, source.event, source.domain_topic)
            topic = courier.topic(source.topic)
            wanted: Any = courier.selection(spec, topic)
            if not self._has_router(source.topic):
                return
            subscription = courier.open(spec)
            subscription.begun = stored.begun
        except (PenstockError, ValueError) as error:
            self._end(name)
            self._broken[name] = stored
            notices().tell(
                _key(name),
                f"subscription '{name}' cannot be delivered to: {error}",
                mend=f"put it again, or delete it: `penstock subscriptions delete {name}`",
            )
            return
        if before is not None and before.topic != source.topic:
            self.routers[before.topic].changes.append(RouteChange(name))
        self._settle(name)
        subscription.learn(self._deliveries)
        courier.add(subscription)
        if before is not None:
            courier.remove(before.subscription)
        self._opened[name] = OpenedRoute(stored, subscription, source.topic)
        self.routers[source.topic].changes.append(RouteChange(name, subscription, wanted, stored.begun))

    def _has_router(self, topic: str) -> bool:
        """And begins one where there is none; false where that cannot be yet."""
        if topic in self.routers:
            return True
        if self._stop is None and self._seen >= 0:
            self._waits = True  # lines are being started: whose turn has come is not known
            return False
        line = self._courier.router(topic, [])
        self._courier.lines.append(line)
        if self._stop is not None:
            thread = Thread(target=_run, args=(line, self._stop), name=line.name)
            self.threads.append(thread)
            self.routing.append(thread)
            thread.start()
        return True

    def _end(self, name: str) -> None:
        self._settle(name)
        if (opened := self._opened.pop(name, None)) is not None:
            self.routers[opened.topic].changes.append(RouteChange(name))
            self._courier.remove(opened.subscription)

    def _settle(self, name: str) -> None:
        if self._broken.pop(name, None) is not None:
            notices().settle(_key(name))


def _run(line: RunningStage, stop: Event) -> None:
    """What was published since the subscription was put is there already: nobody waits for more before it is sent."""
    line.pump.step(0.0)
    line.run(stop)


def _key(name: str) -> str:
    return f"subscription at run time {name}"
