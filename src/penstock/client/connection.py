"""The Python client: publish rows, read topics, score, and look after subscriptions and models, over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import polars as pl
import pyarrow as pa

from .. import tokens
from ..batch import AppendResult
from ..errors import InvalidEvent, Unavailable, UnsupportedMediaType
from .bodies import ARROW, RequestBody, Rows, as_lines, bodies, column, frame, tensor
from .credentials import found_key
from .published import Published
from .reading import NEXT, TopicPages
from .sending import Sender, door, events_door, json, stranger


def connect(
    url: str,
    *,
    timeout: float = 60.0,
    patience: float = 60.0,
    data: Path | str | None = None,
    key: str | None = None,
    ca_file: Path | str | None = None,
    certificate: Path | str | None = None,
    certificate_key: Path | str | None = None,
) -> Client:
    """A client of the server at ``url``; nothing is sent yet.

    ``timeout``: seconds without a byte after which a request is given up. ``patience``: seconds for which a request
    that the server was too busy for is sent again, before ``Busy`` is raised. ``data``: the server's data directory,
    where a client on the same machine does not find the secret for ``register_model(trust=)`` by the address, as with
    a server in a container. ``key``: what is shown with each request; when None it is looked for in PENSTOCK_KEY, then
    in the file that PENSTOCK_KEY_FILE names.

    A server of ``https://`` is trusted by ``ca_file``, a PEM file of authorities, or PENSTOCK_CA_FILE, or SSL_CERT_FILE
    and SSL_CERT_DIR, or else by Mozilla's. ``certificate`` and ``certificate_key``, or PENSTOCK_CLIENT_CERTIFICATE and
    PENSTOCK_CLIENT_KEY, are shown to one that asks for them. See docs/tls.md.

    Raises ``Unreachable`` for what is no address, ``TLSFailed`` for a file that cannot be used, and ``Unauthorized``
    for one of a key that cannot be read.

    >>> with ps.connect(url) as server:
    ...     spans = server.publish("payments", {"id": "p1", "card": "c7", "amount": 120.0, "country": "US"})
    ...     server.read("payments").select("id", "amount").rows()
    [('p1', 120.0)]
    """
    trust = (ca_file, certificate, certificate_key)
    return Client(url, timeout=timeout, patience=patience, data=data, key=key, trust=trust)


class Client:
    """One server. Used by one thread at a time; close it, or use it in a ``with`` block.

    Every method raises ``Unreachable`` (nothing was sent; ``TLSFailed`` is one), ``Uncertain`` (sent, and no answer
    came: the connection broke, or ``timeout`` passed), ``NotPenstock`` (something else answers there), ``Busy`` after
    ``patience``, and what the server refused with, as the error of ``penstock.errors`` that it named; each is a
    ``PenstockError``.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float,
        patience: float,
        data: Path | str | None = None,
        key: str | None = None,
        trust: Sequence[Path | str | None] = (),
    ) -> None:
        shown = found_key() if key is None else key
        self._sender = Sender(url, timeout=timeout, patience=patience, key=shown, trust=trust)
        self._pages = TopicPages(self._sender)
        self._data = None if data is None else Path(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's address."""
        return self._sender.url

    def close(self) -> None:
        """Close its connections."""
        self._sender.close()

    # -- keys -----------------------------------------------------------------

    def keys(self) -> list[dict[str, Any]]:
        """Every key: whose it is, what it may do, whether it is live; never the key itself."""
        return self._sender.get_list("/keys")

    def create_key(
        self,
        name: str,
        allow: str,
        *,
        days: float | None = None,
        sas: bool = False,
        rate: float | None = None,
        certificate: str = "",
    ) -> dict[str, Any]:
        """A new key, in the answer's ``key``: it is nowhere else. ``allow``: its rights, such as ``append:orders``;
        ``days``: how long it opens something; ``sas``: with ``sas_key``, by which Event Grid's clients sign requests;
        ``rate``: requests a second that each gateway takes of it; ``certificate``: the subject of the one that its
        holder shows, such as ``CN=till 7,O=Shop``, and then there is no key.

        Raises ``BadRequest``, ``Conflict`` where two keys of that name are live or one of that certificate, and
        ``Forbidden`` for rights that who asks has not.
        """
        asked = {"name": name, "allow": allow, "days": days, "sas": sas, "rate": rate}
        asked |= {"certificate": certificate} if certificate else {}
        return self._sender.post("/keys", asked)

    def revoke_key(self, id: str) -> dict[str, Any]:
        """It opens nothing any more, on no host, within a second. Raises ``NotFound``."""
        answer = self._sender.send("DELETE", door("keys", id))
        return dict(json(answer))

    # -- events ---------------------------------------------------------------

    def publish(self, topic: str, rows: Rows, *, progress: Callable[[int], None] | None = None) -> Published:
        """Append events; on return they are durable. Returns where they are, a list with a span for each request and
        partition; its ``ignored`` says which fields the topic's type lacks, and what may have been meant.

        ``rows``: a frame of polars or pandas, Arrow data, or events: one, a list, or an iterator. An event is a dict, a
        dataclass, a msgspec Struct or a Pydantic model; a dict is one event, so columns belong in a frame. Of pandas,
        NaN, NaT and NA are nulls, a named level of the index is a column, and an unnamed index is left out; in a polars
        or Arrow frame NaN stays NaN. In events NaN is null, as JSON has none, and an infinite number is refused.

        Columns go as Arrow, events as JSON, in requests of at most 10,000 rows: each is stored whole or not at all, and
        what was stored before one that is refused stays. ``progress`` is told of each one's rows.

        Raises ``InvalidEvent`` with the row's place in ``rows``, ``NotFound`` for a topic that is not there, also when
        there is nothing to publish. After ``Uncertain`` the last request may have been stored: sending it again may
        double it, unless the topic drops repeats (``dedupe``) and its events have ids.

        >>> frame = pl.DataFrame({"id": ["p2", "p3"], "card": "c7", "amount": [80.0, 9.5], "country": ["NL", "US"]})
        >>> sum(span.count for span in server.publish("payments", frame))
        2
        """
        published = Published()
        done = 0
        for body in bodies(rows):
            try:
                answers = self._append(topic, body)
            except InvalidEvent as error:
                row = None if error.row is None else error.row + done
                raise InvalidEvent(error.reason + _hint(rows), row=row, field=error.field) from None
            for answer in answers:
                places = answer["positions"]
                published += [AppendResult(topic, p["partition"], p["offset"], p["last"], p["count"]) for p in places]
                published.ignore(answer.get("ignored", ()))
            done += body.rows
            if progress is not None:
                progress(body.rows)
        if not done:
            self._sender.send("GET", events_door(topic), params={"limit": "0"})
        return published

    def _append(self, topic: str, body: RequestBody) -> list[dict[str, Any]]:
        """Columns that the topic does not take, since it has no type, are sent as JSON: nothing of them was stored."""
        where = events_door(topic)
        try:
            return [json(self._sender.send("POST", where, body.data, {"content-type": body.kind}))]
        except UnsupportedMediaType:
            if body.kind != ARROW:
                raise
        again = as_lines(body)
        return [json(self._sender.send("POST", where, part.data, {"content-type": part.kind})) for part in again]

    def read(self, topic: str, *, limit: int | None = None, start: int = 0) -> pl.DataFrame:
        """The topic's events up to now: its columns, and the envelope's with their underscores.

        ``start``: the first offset wanted, in each partition. Rows are in order within a partition; a topic without a
        type has one column ``json``, the event's text. Raises ``NotFound``.

        >>> server.read("payments", limit=1).columns[:4]
        ['id', 'card', 'amount', 'country']
        """
        return self._pages.table(topic, limit, start)

    def last(self, topic: str, count: int, end: str | None = None) -> list[dict[str, Any]]:
        """The last so many events before ``end`` (see ``end``; without it before now), as ``tail`` gives them.

        In the order in which they were appended in a partition, and by their times between partitions.
        """
        return self._pages.last(topic, count, end)

    def tail(self, topic: str, *, follow: bool = True, start: int | str | None = None) -> Iterator[dict[str, Any]]:
        """Events one by one, as the JSON door gives them: ``{"partition", "offset", "time", "data", …}``.

        ``start`` as for ``read``, or what ``end`` said; None: what is published from now on. With ``follow`` it never
        ends by itself. Raises ``NotFound``.

        >>> next(server.tail("payments", follow=False, start=0))["data"]["id"]
        'p1'
        """
        return self._pages.tail(topic, follow, start)

    def schema(self, topic: str) -> pa.Schema:
        """The topic's columns and their types, as the server checks events against them. Raises ``NotFound``.

        >>> server.schema("payments").field("amount").type
        DataType(double)
        """
        return self._pages.schema(topic)

    def end(self, topic: str) -> str:
        """Where the topic ends now, as ``PARTITION:OFFSET,…``. Raises ``NotFound``."""
        return self._pages.end(topic)

    # -- domains --------------------------------------------------------------

    def domains(self) -> list[dict[str, Any]]:
        """Every domain with how many topics it has; None where not all of them may be seen. Raises what every method
        does.

        >>> server.domains()
        []
        """
        return self._sender.get_list("/domains")

    def domain_topics(self, domain: str) -> Iterator[str]:
        """The names of its topics, in order, as far as they may be seen. Raises ``NotFound``.

        >>> list(server.domain_topics("tx"))
        Traceback (most recent call last):
        penstock.errors.NotFound: there is no domain 'tx'; there are: none
        """
        after: str | None = ""
        while after is not None:
            page = self._sender.send("GET", door("domains", domain, "topics"), params={"after": after}).json()
            yield from page["topics"]
            after = page["next"]

    # -- dead letters ---------------------------------------------------------

    def dead(self, *, state: str = "open", limit: int = 100, **which: str) -> list[dict[str, Any]]:
        """The latest letters of events that no attempt could deal with, the oldest first.

        ``which``: topic, stage, error, reason (a part of it), since, until (a time, or so long ago: ``2h``). ``state``:
        dead, redriven, done, dropped, open (the first two) or all. With ``format`` those of subscriptions alone, as
        Azure Event Grid keeps them: ``"eventgrid"`` or ``"cloudevents"``.
        """
        params = {"state": state, "limit": str(limit), **which}
        return list(self._sender.send("GET", "/dead", params=params).json())

    def dead_letter(self, place: str, *, format: str | None = None) -> list[dict[str, Any]]:
        """The letters of one event, ``TOPIC/PARTITION/OFFSET``, of every stage; ``format`` as for ``dead``. Raises
        ``NotFound``."""
        params = {} if format is None else {"format": format}
        return list(self._sender.send("GET", f"/dead/{place}", params=params).json())

    def redrive(self, *, dry: bool = False, most: int = 1_000, limit: int = 3, **which: Any) -> dict[str, Any]:
        """Put events back to the stages that failed, up to ``most`` in this request.

        Answers how many were ``redriven``, are ``left``, and were ``refused`` with which ``reasons``; which stages are
        held, so that theirs are ``waiting``; and when this was said, ``at``.

        ``which`` as for ``dead``, and ``places``. ``limit``: leave those that were put back so often. Asked again after
        ``Uncertain`` no event is put back twice.
        """
        return self._sender.post("/dead/redrive", {**which, "dry": dry, "most": most, "limit": limit})

    def drop(self, *, dry: bool = False, most: int = 1_000, **which: Any) -> dict[str, Any]:
        """Say of letters that nothing is to be done about them: how many were ``dropped``, and are ``left``."""
        return self._sender.post("/dead/drop", {**which, "dry": dry, "most": most})

    # -- subscriptions --------------------------------------------------------

    def subscriptions(self) -> list[dict[str, Any]]:
        """Every subscription: its ``origin`` (file or run-time), where it goes, its ``state`` (live, behind, paused,
        disabled), ``backlog`` and ``endpoint``, see `GET /subscriptions` in docs/http.md. Raises what every method
        does.

        >>> server.subscriptions()
        []
        """
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            answer = self._sender.send("GET", "/subscriptions", params={"after": after} if after else {})
            found += json(answer)
            if not (after := answer.headers.get(NEXT, "")):
                return found

    def subscription(self, name: str) -> dict[str, Any]:
        """The same of one. Raises ``NotFound``."""
        return self._sender.get(door("subscriptions", name))

    def put_subscription(self, name: str, source: str, to: str, **options: Any) -> dict[str, Any]:
        """Have the events of a topic, or of a type of system event, delivered to a webhook from now on.

        ``options`` are those of ``app.subscribe``, as `PUT /subscriptions` in docs/http.md has them: ``where``,
        ``secret``, ``retry={"attempts": 10, "ttl": "1h"}`` and others. One that is the same stays as it is, and
        another that was put so is replaced. Answers what ``subscription`` does, which has neither the URL nor a
        secret.

        Raises ``BadRequest`` for what cannot be, ``NotFound`` for a source that is not there, and ``Conflict`` for a
        name of the app's file, where there are too many, or the app takes none.
        """
        body = {"source": source, "to": to, **options}
        headers = {"content-type": "application/json"}
        answer = self._sender.send("PUT", door("subscriptions", name), msgspec.json.encode(body), headers)
        return dict(json(answer))

    def delete_subscription(self, name: str) -> None:
        """End one that was put while the app ran. Raises ``NotFound``, and ``Conflict`` for one of the app's file."""
        self._sender.send("DELETE", door("subscriptions", name))

    def pause_subscription(self, name: str) -> dict[str, Any]:
        """Deliver nothing to a webhook for now: its events wait, for as long as the topic keeps them.

        Answers what ``subscription`` does. One that is disabled stays so. Raises ``NotFound``, ``BadRequest`` for one
        that goes to a topic, and ``Unavailable`` where it was asked for and is not seen to be in force.
        """
        return self._sender.post(door("subscriptions", name, "pause"), {})

    def resume_subscription(self, name: str) -> dict[str, Any]:
        """Deliver again, from where it was, to one that was paused or that is disabled.

        Answers what ``subscription`` does. Raises what ``pause_subscription`` does.
        """
        return self._sender.post(door("subscriptions", name, "resume"), {})

    # -- models ---------------------------------------------------------------

    def infer(self, model: str, rows: Rows) -> pl.DataFrame:
        """Score rows with the version in service: the model's output columns, in the order of the rows.

        ``rows`` as for ``publish``; columns that the model does not read are left out, and no rows are not sent. One
        request, so that one version answers: a frame beyond the server's limits is ``TooLarge``.

        Raises ``InvalidEvent`` for a column that the model reads and the rows lack, or of another type, ``NotFound``
        for a model that no stage scores with or that has no version, ``TaskFailed`` and ``PredictionInvalid`` where the
        model fails, ``Unavailable`` and ``RunnerDied`` where it cannot answer now.

        >>> server.infer("risk", {"amount": 120.0, "abroad": 1.0})["risk"].to_list()
        [0.36]
        """
        described = self._sender.get(door("v2", "models", model))
        given = frame(rows)
        if not given.height:
            return pl.DataFrame({o["name"]: column(o | {"data": [], "shape": [0]}) for o in described["outputs"]})
        names = [field["name"] for field in described["inputs"]]
        if missing := [name for name in names if name not in given.columns]:
            raise InvalidEvent("the model reads it, and the rows do not have it" + _hint(rows), field=missing[0])
        inputs = [tensor(field, given[field["name"]]) for field in described["inputs"]]
        answer = self._sender.post(door("v2", "models", model, "infer"), {"inputs": inputs})
        return pl.DataFrame({o["name"]: column(o) for o in answer["outputs"]})

    def models(self) -> list[dict[str, Any]]:
        """Every model with its versions and aliases. Raises what every method does."""
        return self._sender.get_list("/models")

    def model(self, name: str) -> dict[str, Any]:
        """A model's versions, each with its digest, runtime, signature and metrics, and its aliases.

        Raises ``NotFound``.

        >>> server.model("risk")["aliases"]["champion"]["version"]
        1
        """
        return self._sender.get(door("models", name))

    def register_model(
        self,
        name: str,
        path: Path | str,
        *,
        trust: str | None = None,
        metrics: Mapping[str, float] | None = None,
        dataset_id: str | None = None,
        outputs: Sequence[str] = (),
        inputs: Sequence[str] = (),
    ) -> int:
        """Register the file as the model's next version, and return its number. The first one becomes the champion.

        ``trust``: ``sha256:HEX`` of a file that may execute code when it is loaded. ``outputs`` and ``inputs`` name
        the columns of a model that the app does not declare. ``metrics`` and ``dataset_id`` are kept with the version.

        Raises ``ModelRefused`` with the reason, ``Forbidden`` for ``trust`` without the server's secret, and
        ``OSError`` for a file that cannot be read.
        """
        given = {
            "trust": trust,
            "metrics": msgspec.json.encode(dict(metrics)).decode() if metrics else None,
            "dataset_id": dataset_id,
            "outputs": ",".join(outputs) or None,
            "inputs": ",".join(inputs) or None,
        }
        params = {key: value for key, value in given.items() if value is not None}
        headers = {"content-type": "application/octet-stream"}
        if trust is not None and (secret := tokens.find(self.url, self._data)):
            headers["authorization"] = f"Bearer {secret}"
        answer = self._sender.send("POST", door("models", name, "versions"), Path(path).read_bytes(), headers, params)
        return int(answer.json()["version"])

    def set_alias(
        self, name: str, alias: str, version: int, *, expected: int | None = None, wait: float | None = None
    ) -> None:
        """Point an alias to a version; with ``expected`` only if it points there now (0: to none).

        ``wait`` as for ``promote``. Raises ``Conflict``, ``NotFound``.
        """
        asked = {"version": version} | ({} if expected is None else {"expected": expected})
        self._move(door("models", name, "aliases", alias), asked, wait)

    def promote(self, name: str, version: int, *, wait: float | None = None) -> None:
        """Make a version the champion: scorers load it, and take it at the batch after.

        ``wait``: seconds to wait until all scorers of that host have it; then ``Unavailable`` says who has not, though
        the alias has moved. Raises ``NotFound``.
        """
        self._move(door("models", name, "promote"), {"version": version}, wait)

    def rollback(self, name: str, *, alias: str = "champion", wait: float | None = None) -> tuple[int, int]:
        """Point an alias to the version that it pointed to before: from which version to which it went.

        ``wait`` as for ``promote``. Raises ``NotFound``, and ``Conflict`` when there is none to go back to, or somebody
        else moved the alias at the same time.
        """
        moved = self._move(door("models", name, "rollback"), {"alias": alias}, wait)
        return int(moved["from"]), int(moved["version"])

    def _move(self, path: str, asked: Mapping[str, Any], wait: float | None) -> dict[str, Any]:
        moved = self._sender.post(path, asked, None if wait is None else {"wait": f"{round(wait * 1000)}ms"})
        if waiting := moved.get("waiting"):
            who = "; ".join(f"{each['process']}, {each['stage']}: {each['reason']}" for each in waiting)
            raise Unavailable(
                f"{moved['model']}@{moved['alias']} is version {moved['version']}, and after {wait:g} s not all score "
                f"with it: {who}"
            )
        return moved

    # -- the server -----------------------------------------------------------

    def topics(self) -> list[dict[str, Any]]:
        """Every topic: its fields, key, retention, partitions and events. Raises what every method does.

        >>> [topic["name"] for topic in server.topics() if topic["key"] == "card"]
        ['payments']
        """
        return self._sender.get_list("/topics")

    def groups(self) -> list[dict[str, Any]]:
        """Position, owner and lag of every consumer group, a row for each partition. Raises what every method does."""
        return self._sender.get_list("/groups")

    def metrics(self) -> str:
        """The metrics of all processes, in Prometheus' text format. Raises what every method does."""
        return self._sender.once("GET", "/metrics", b"", {}, {}).text

    def ready(self) -> Readiness:
        """Is everything at work, and if not, why? And what needs a look although it is? Raises ``Unreachable``.

        >>> bool(server.ready()), server.ready().warnings
        (True, [])
        """
        answer = self._sender.once("GET", "/readyz", b"", {}, {})
        try:
            found = json(answer)
            return Readiness(found["ready"], found["reasons"], found["warnings"])
        except (KeyError, TypeError):
            raise stranger(answer) from None


def _hint(rows: object) -> str:
    """What a dict of columns is told, beside what is wrong with it as one event."""
    if isinstance(rows, Mapping) and any(
        isinstance(value, Sequence) and not isinstance(value, str) for value in rows.values()
    ):
        return "; a dict is one event: give columns as pl.DataFrame(...)"
    return ""


@dataclass(frozen=True, slots=True)
class Readiness:
    """True when every stage is at work. ``reasons`` say why it is not, ``warnings`` what needs a look although it is.

    Both are objects with ``reason``, and where they are known ``process`` and ``stage``.
    """

    ready: bool
    reasons: list[dict[str, str]]
    warnings: list[dict[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return self.ready
