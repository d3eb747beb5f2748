"""A subscription as the routers and the ladder use it: how its events are packed, and where they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b

import numpy as np

from ...batch import Batch, Indices, TopicSpec
from ...destinations.interface import Answer, Destination, Parcel
from ...schema.egress.render import Format, join, render
from ...schema.egress.rendered import Rendered
from ...system.messages import Disabled, Message
from ..system_events import told
from .attempts import RetryPolicy
from .state import DeliveryState, Failing, Recovered

FAILING_S = 60.0  # seconds without any success after which that is stored: a courier that dies forgets no more
IN_VAIN = 10  # attempts of this process, fewer than which disable nothing: where events are rare one proves little


@dataclass(slots=True, eq=False)
class Subscription:
    """One of the plan, opened.

    ``batch_events`` and ``batch_bytes``: of one request, at most; an event that is larger goes alone. ``earliest``:
    it begins with what there is, else with what comes. ``ordered``: events of a key go in their order, one request at a
    time, and ``concurrency`` requests in all. ``event``: the type of system event that it is for.
    ``endpoint``: where it goes, without what may be secret. ``paused``: nothing is sent, as is stored. ``ended_at``:
    nor is it where that is about to be stored, since then (microseconds since the epoch; 0: it is not).
    ``unproven``: nor is it before the endpoint has said in a handshake that it wants events.
    ``disable_after_s``: seconds without any success after which it is disabled; None: never. ``failing``: the first of
    the attempts in vain, and ``recovered``: up to when nothing counts, both as is stored. ``begun``: when one that was
    put at run time began, and any before of its name was over; 0: it is of the file.

    For the threads of its router and of the ladder, and those that tell what is stored; each writes whole numbers, and
    what another makes of them may be a moment old.
    """

    name: str
    destination: Destination
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    format: Format = "cloudevents"
    batch_events: int = 1
    batch_bytes: int = 64 << 10
    earliest: bool = False
    ordered: bool = False
    concurrency: int = 32
    event: str | None = None
    source: str = ""
    endpoint: str = ""
    disable_after_s: float | None = None
    paused: bool = False
    unproven: bool = False
    ended_at: int = 0
    failing: int = 0
    recovered: int = 0
    begun: int = 0
    _failed: int = 0  # the first attempt in vain after the last that was not; of this process, as are those below
    _succeeded: int = 0
    _in_vain: int = 0  # attempts since then

    @property
    def halted(self) -> bool:
        return self.paused or self.unproven or self.ended_at > 0

    def room(self) -> int:
        return 0 if self.halted else self.destination.room()

    @property
    def open(self) -> bool:
        return not self.halted and self.destination.open

    def learn(self, state: DeliveryState) -> None:
        """What is stored of it."""
        self.paused = self.name in state.halted
        self.failing, self.recovered = state.failing.get(self.name, 0), state.recovered.get(self.name, 0)
        if state.ended.get(self.name, 0) >= self.ended_at:  # also where it was resumed since
            self.ended_at = 0

    def note(self, answer: Answer) -> Message | None:
        """What is to be stored after an attempt, of how its endpoint is."""
        if answer.gone:
            return self._disabled(answer, answer.reason or "the endpoint wants nothing any more (410)")
        if answer.ok:
            return self._note_success(answer.began)
        return None if answer.blameless or not answer.began else self._note_failure(answer)

    def _note_success(self, at: int) -> Message | None:
        self._succeeded = max(self._succeeded, at)
        if not self.failing:
            return None
        self.failing = 0
        return Recovered(subscription=self.name, at=at)

    def _note_failure(self, answer: Answer) -> Message | None:
        good = max(self._succeeded, self.recovered)
        if answer.began <= good:
            return None
        if self._failed <= good:
            self._failed, self._in_vain = answer.began, 0
        self._in_vain += 1
        stored = self.failing if self.failing > good else 0
        since = min(stored, self._failed) if stored else self._failed
        lasted_s, limit_s = (answer.began - since) / 1e6, self.disable_after_s
        if limit_s is not None and lasted_s >= limit_s and self._in_vain >= IN_VAIN:
            first = datetime.fromtimestamp(since / 1e6, UTC).isoformat(timespec="seconds")
            last = answer.reason or answer.outcome
            return self._disabled(answer, f"no attempt has succeeded since {first}; the last: {last}")
        if lasted_s < FAILING_S or since == stored:
            return None
        self.failing = since
        return Failing(subscription=self.name, since=since)

    def _disabled(self, answer: Answer, reason: str) -> Disabled | None:
        """None: it is being stored."""
        if self.halted:
            return None
        self.ended_at = answer.began
        return Disabled(
            subscription=self.name,
            source=self.source,
            endpoint=self.endpoint,
            outcome=answer.outcome,
            reason=reason,
            at=answer.began,
        )

    def batches(self, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
        """How events of these sizes, in bytes, are cut into requests: the first and the last but one of each."""
        start, total = 0, 0
        for at, size in enumerate(sizes):
            if at > start and (at - start >= self.batch_events or total + size > self.batch_bytes):
                yield start, at
                start, total = at, 0
            total += size
        if start < len(sizes):
            yield start, len(sizes)

    def render(self, batch: Batch, rows: Indices, topic: TopicSpec, app: str) -> list[Rendered]:
        """These rows of a batch as requests of one event each. ``topic``: the batch's; ``app``: whose it is."""
        if self.event is None:
            return render(self.format, batch, rows, topic, app)
        part = told(batch.take(rows), self.event, self.format, app)
        return render(self.format, part, np.arange(len(part), dtype=np.int64), TopicSpec(topic.name), app)

    def parcel(self, places: Sequence[str], parts: Sequence[Rendered], attempt: int, sender: object) -> Parcel:
        """``places``: where each event lies, ``TOPIC/PARTITION/POSITION``."""
        one = len(parts) == 1 and self.batch_events == 1
        made = parts[0] if one else join(self.format, parts)
        return Parcel(_id(places), made.body, made.headers, attempt, len(parts), sender)


class Sheets:
    """Rows of one batch as they are sent, each made once a format."""

    def __init__(self, batch: Batch, topic: TopicSpec, app: str) -> None:
        self._batch, self._topic, self._app = batch, topic, app
        self._made: dict[tuple[Format, str | None], dict[int, Rendered]] = {}

    def of(self, subscription: Subscription, rows: Sequence[int]) -> list[Rendered]:
        made = self._made.setdefault((subscription.format, subscription.event), {})
        if new := [row for row in rows if row not in made]:
            requests = subscription.render(self._batch, np.array(new, np.int64), self._topic, self._app)
            made.update(zip(new, requests, strict=True))
        return [made[row] for row in rows]


def _id(places: Sequence[str]) -> str:
    """Of an event its place, which no other has; of several, what follows from theirs: the same ones have the same."""
    if len(places) == 1:
        return places[0]
    return f"{places[0]}/{len(places)}/{blake2b(' '.join(places).encode(), digest_size=8).hexdigest()}"
