"""Events of domains as they come in: which topic each says, whether its publisher may append there, and topics that are
new."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from operator import attrgetter
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ..access.rights import Verb
from ..batch import DOMAIN_TOPIC, SYSTEM, Write, column
from ..clock import Clock
from ..domains.messages import NEW_LIMIT, AddDomainTopics
from ..domains.state import DomainState
from ..errors import BadRequest, DomainFull, InvalidEvent, PenstockError, TooLarge, Unavailable
from ..log.interface import Log
from ..plan.domains import declared_domain_topics, upstream_domains
from ..plan.plan import Plan
from ..schema.cloudevents import DOMAIN_TOPIC as EXTENSION
from ..schema.cloudevents import NO_TEXT
from ..schema.ingress.faults import explain
from ..schema.rows import is_json
from ..stages.emit import with_columns
from ..stages.ingest.intake import Intake
from ..system.messages import to_rows
from ..system.view import View
from .incoming import DecodedBody
from .principal import Principal

PATIENCE_S = 5.0  # seconds that new topics may take
POLL_S = 0.002  # seconds between two looks for the answer

UNANSWERED = "new topics of a domain are asked for, and no worker has answered; try again"

NAME = re.compile(DOMAIN_TOPIC)
SAID_BY = (
    f"the member _topic of JSON, the column _topic of Arrow, the extension {EXTENSION} of a CloudEvent, or topic in "
    "Event Grid's schema"
)


class _TopicMember(msgspec.Struct, gc=False):
    topic: str | None = msgspec.field(default=None, name="_topic")


_MEMBERS = msgspec.json.Decoder(list[_TopicMember])


def addressed(intake: Intake, body: DecodedBody, topic: str | None) -> pa.RecordBatch:
    """The rows of a body as they are stored in a domain. ``topic``: the one that the address names; None: each event
    says its own. Raises ``InvalidEvent`` for an event that says none, another than the address, or no name of one."""
    rows = body.rows if isinstance(body.rows, pa.RecordBatch) else intake.columns(body.rows, body.envelope)
    said = _said(rows)
    if topic is None:
        if said.null_count:
            _refuse(said.is_null(), f"which domain topic is it of? {SAID_BY} says it")
        if wrong := [name for name in pc.unique(said).to_pylist() if NAME.fullmatch(name) is None]:
            _refuse(
                pc.equal(said, wrong[0]),  # they are in the order of their first events
                "a domain topic has a name of 1 to 64 letters, digits, '-', '_' and '.', no '-' or '.' in front",
            )
    else:
        if said.null_count < len(said):
            other = pc.not_equal(said, topic)  # null where the event says none
            _refuse(other, f"the event is of another domain topic than the address, which is that of {topic!r:.80}")
        said = pa.repeat(topic, len(rows))
    return with_columns(rows, {"_topic": said})


def topics_of(rows: pa.RecordBatch) -> list[str]:
    """Each once."""
    found: list[str] = pc.unique(rows.column("_topic")).to_pylist()
    return found


def require_append(who: Principal, domain: str, topics: Sequence[str]) -> None:
    """Raises ``Forbidden`` naming the first that he may not append to, which he has named himself."""
    for topic in topics:
        who.require("append", f"{domain}/{topic}")


def may_within(who: Principal, verb: Verb, domain: str) -> bool:
    """Has he the right to anything of the domain?"""
    below = f"{verb}:{domain}/"
    return who.may(verb, f"{domain}/*") or any(text.startswith(below) for text in who.rights.texts)


def require_within(who: Principal, verb: Verb, domain: str) -> None:
    """Before anything is said of whether there is such a domain. Raises ``Forbidden``."""
    if not may_within(who, verb, domain):
        who.require(verb, f"{domain}/*")


def check_name(topic: str) -> None:
    """Of an address. Raises ``BadRequest``."""
    if NAME.fullmatch(topic) is None:
        raise BadRequest(f"{topic!r:.80} cannot be a domain topic: 1 to 64 letters, digits, '-', '_' and '.'")


def _refuse(wrong: pa.Array, reason: str) -> None:
    if (row := pc.index(wrong, True).as_py()) >= 0:
        raise InvalidEvent(reason, row=row, field="_topic")


def _said(rows: pa.RecordBatch) -> pa.Array:
    """What each row says, if anything."""
    said = column(rows, "_topic")
    if is_json(rows.schema) and said.null_count:
        said = pc.coalesce(said, _members(rows.column("json")))
    return said


def _members(events: pa.Array) -> pa.Array:
    """What each JSON object says by its member, all decoded at once; null of any other value. Raises ``InvalidEvent``
    for the first that says what is no text, be it in one of two such members, of which the last counts."""
    joined = b",".join(events.view(pa.binary()).to_pylist())
    if b"_topic" not in joined and b"\\" not in joined:  # nor written with escapes
        return pa.nulls(len(events), pa.string())
    are_objects = pc.starts_with(events, "{")
    objects = events.filter(are_objects)
    array = b"[" + b",".join(objects.view(pa.binary()).to_pylist()) + b"]"
    try:
        found = pa.array(map(attrgetter("topic"), _MEMBERS.decode(array)), pa.string(), size=len(objects))
    except (msgspec.DecodeError, RecursionError) as error:
        fault = explain(array, error, many=True)
        reason = NO_TEXT if isinstance(error, msgspec.ValidationError) else fault.reason
        row = None if fault.row is None else pc.indices_nonzero(are_objects)[fault.row].as_py()
        raise InvalidEvent(reason, row=row, field="_topic") from None
    return pc.replace_with_mask(pa.nulls(len(events), pa.string()), are_objects, found)


@dataclass(frozen=True, slots=True, eq=False)
class AskedTopics:
    """``until``: when whoever waits is told that nobody has answered, monotonic seconds."""

    command: AddDomainTopics
    answered: asyncio.Future[None]
    until: float


class DomainTopics:
    """Has new topics added before their first event is stored. Used on one event loop; one of ``threads`` looks
    for the answers of all who wait."""

    def __init__(self, plan: Plan, log: Log, view: View, clock: Clock, threads: Executor) -> None:
        self._log, self._view, self._clock, self._threads = log, view, clock, threads
        self._upstream = {domain: upstream_domains(plan, domain) for domain in plan.domains}
        self._declared = {domain: declared_domain_topics(plan, domain) for domain in plan.domains}
        self._sorted: dict[str, tuple[int, Sequence[str]]] = {}  # by domain, with how many were known
        self._state = view.areas.only(DomainState)
        self._coming: list[AskedTopics] = []  # who has not been asked for yet
        self._asking = False
        self._task: asyncio.Task[None] | None = None  # kept, or it might be collected under way

    def refresh(self) -> None:
        """Know what other processes have had added. In a thread."""
        self._view.refresh()

    def has(self, domain: str, name: str) -> bool:
        """As far as this process knows."""
        known = any(self._state.knows(each, name) for each in self._upstream[domain])
        return known or name in self._declared[domain]

    def names(self, domain: str) -> Sequence[str]:
        """In order, of all topics that there may be events of: those that were published to, also in the domains that
        it is fed from, and those that the app names. From any thread."""
        with self._view.lock:
            count = sum(map(self._state.count, self._upstream[domain]))
            counted, names = self._sorted.get(domain, (-1, ()))
            if counted == count:
                return names
            found = {name for each in self._upstream[domain] for name in self._state.names(each)}
        names = sorted(found | self._declared[domain])
        self._sorted[domain] = count, names
        return names

    async def ensure(self, domain: str, names: Sequence[str]) -> None:
        """On return the domain has them all, whatever happens. Raises ``DomainFull``, ``TooLarge`` for more new ones
        than one request may bring, and ``Unavailable`` where nobody answers: only known topics can be published to
        then. Nothing has come to be of those of a request that is refused."""
        new = [name for name in names if not self._state.knows(domain, name)]
        if not new:
            return
        if len(new) > NEW_LIMIT:
            raise TooLarge(f"{len(new)} new domain topics in one request; the limit is {NEW_LIMIT}: send several")
        loop = asyncio.get_running_loop()
        command = AddDomainTopics(id=uuid4().hex, domain=domain, names=tuple(new))
        asked = AskedTopics(command, loop.create_future(), self._clock.monotonic() + PATIENCE_S)
        self._coming.append(asked)
        if not self._asking:
            self._asking = True
            self._task = loop.create_task(self._ask_all(loop))
        await asked.answered

    async def _ask_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """Until nobody waits. Who comes while others wait is asked for at once: the owner answers them together."""
        waiting: list[AskedTopics] = []
        try:
            while self._coming or waiting:
                new, self._coming = self._coming, []
                waiting += new
                settled: Mapping[AskedTopics, Exception | None]
                try:
                    settled = await loop.run_in_executor(self._threads, self._look, new, list(waiting))
                except Exception as error:  # whatever it is, nobody may be left waiting
                    settled = dict.fromkeys(waiting, error)
                waiting = [asked for asked in waiting if asked not in settled]
                for asked, wrong in settled.items():
                    if asked.answered.done():
                        continue  # who asked has gone
                    if wrong is None:
                        asked.answered.set_result(None)
                    else:
                        asked.answered.set_exception(wrong)
        finally:
            self._asking = False

    def _look(self, new: Sequence[AskedTopics], waiting: Sequence[AskedTopics]) -> dict[AskedTopics, Exception | None]:
        """In a thread: ask for what is ``new``, and say what has become of those that ``wait``, of whom it is part."""
        if new:
            try:
                self._log.append([Write(SYSTEM, 0, to_rows([asked.command for asked in new]))])
            except PenstockError as error:
                return dict.fromkeys(new, error)
        else:
            self._clock.sleep(POLL_S)
        self._view.refresh()
        now, settled = self._clock.monotonic(), dict[AskedTopics, Exception | None]()
        for asked in waiting:
            command = asked.command
            if (reason := self._state.refusal(command.id)) is not None:
                settled[asked] = DomainFull(reason)
            elif all(self._state.knows(command.domain, name) for name in command.names):
                settled[asked] = None
            elif now >= asked.until:
                settled[asked] = Unavailable(UNANSWERED)
        return settled
