"""``ps.Subscriptions``: subscriptions that are put while the app runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Unpack

from .handle import Handle

if TYPE_CHECKING:
    import polars as pl

    from ...plan.plan import Verb
    from ...plan.run_time import RunTimeSubscription
    from ..events import SystemEvent
    from ..parts import Source
    from ..run_time import PutOptions


class SubscriptionAccess(Protocol):
    """What stands behind ``Subscriptions`` where the function runs. Each is part of the commit of its event."""

    def put_subscription(self, subscription: RunTimeSubscription) -> None:
        """Raises ``NotFound`` and ``FilterInvalid`` for what does not fit the app."""
        ...

    def change_subscription(self, name: str, change: Literal["delete", "pause", "resume"]) -> None: ...


@dataclass(frozen=True, slots=True)
class RecordedPut:
    """What ``Subscriptions.put`` was called with, of one that records. Its repr has neither the URL nor a secret."""

    name: str
    source: str
    to: str = field(repr=False)
    where: str | None
    options: dict[str, Any] = field(repr=False)


class Subscriptions(Handle):
    """Subscriptions of the running app, for a function that asks for ``subscriptions: ps.Subscriptions``.

    What it asks for is done with the commit of its event: of a function that fails nothing is. Without an app,
    ``ps.Subscriptions()`` records: ``put_by_name`` has what was put, and ``deleted``, ``paused`` and ``resumed`` the
    names, for a test of the function.

    >>> @app.on(orders)
    ... def follow(order: Order, subscriptions: ps.Subscriptions) -> None:
    ...     subscriptions.put(f"{order.id}-large", orders, "https://hooks.example.com/orders", where="amount > 100")
    """

    VERBS: ClassVar[tuple[Verb, ...]] = ("subscribe",)

    def __init__(self, access: SubscriptionAccess | None = None) -> None:
        self._access = access
        self.put_by_name: dict[str, RecordedPut] = {}
        self.deleted: list[str] = []
        self.paused: list[str] = []
        self.resumed: list[str] = []

    def put(
        self,
        name: str,
        source: Source[Any] | type[SystemEvent] | str,
        to: str,
        *,
        where: str | pl.Expr | None = None,
        **options: Unpack[PutOptions],
    ) -> None:
        """Have the events of ``source`` delivered to a webhook, with the options of ``app.subscribe``.

        One of that name that is the same stays as it is, and another is replaced: it goes on from its place where the
        source is the same, and else begins anew. ``secret`` and the values of ``headers`` may be texts. Those of the
        file cannot be put: the owner of the system refuses that in ``penstock.system``, as it does what is too many.

        Raises ``DeclarationError`` for what cannot be, ``FilterInvalid`` for a condition that does not fit the source,
        ``NotFound`` for a source that is not in the app.
        """
        from ..run_time import read_put

        subscription = read_put(name, source, to, where=where, **options)
        if self._access is None:
            shown = RecordedPut(name, subscription.source, to, subscription.where, dict(options))
            self.put_by_name[name] = shown
        else:
            self._access.put_subscription(subscription)

    def delete(self, name: str) -> None:
        """End one: nothing more is sent, and what waited for another attempt becomes a dead letter. One that is not
        there is no fault. Raises ``DeclarationError`` for what is no name."""
        self._change(name, "delete", self.deleted)

    def pause(self, name: str) -> None:
        """Deliver nothing to it for now. Raises ``DeclarationError`` for what is no name."""
        self._change(name, "pause", self.paused)

    def resume(self, name: str) -> None:
        """Deliver again, from where it was. Raises ``DeclarationError`` for what is no name."""
        self._change(name, "resume", self.resumed)

    def _change(self, name: str, change: Literal["delete", "pause", "resume"], recorded: list[str]) -> None:
        from ..values import checked_name

        checked_name(name, "a subscription")
        if self._access is None:
            recorded.append(name)
            if change == "delete":
                self.put_by_name.pop(name, None)
        else:
            self._access.change_subscription(name, change)
