"""What the methods of ``App`` are given: each as it is declared, or what is wrong in it (``DeclarationError``)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from .events import SystemEvent
from .parts import DomainTopic, Encoding, Extra, Start, Topic
from .source_location import declaring_frame, declaring_place
from .values import Retry, refused

if TYPE_CHECKING:
    from ..plan.plan import OnChange


def read_source(source: object, method: str) -> Topic[Any] | type[SystemEvent]:
    if isinstance(source, Topic):
        return source
    if isinstance(source, type) and issubclass(source, SystemEvent) and source is not SystemEvent:
        return source
    raise refused(f"{method} takes a topic or a class of system event, not {source!r}{instead_of(source)}")


def read_whole(source: object, method: str) -> Any:
    if isinstance(source, DomainTopic):
        raise refused(
            f"{method} takes a whole domain, not one topic of it: write {source.domain.name}, and look at the events' "
            f"topic where {source.name!r} is another case"
        )
    return source


def read_target(to: object) -> tuple[Topic[Any] | None, str | None]:
    """And of a domain the one topic where all goes."""
    if isinstance(to, DomainTopic):
        return to.domain, to.name
    if to is None or isinstance(to, Topic):
        return to, None
    raise refused(f"to={to!r} is not a topic{instead_of(to)}")


def read_start(start: object) -> Start:
    if start == "earliest" or start == "latest":
        return start
    raise refused(f"start={start!r} must be 'earliest' or 'latest'")


def read_on_change(given: object) -> OnChange | None:
    if given is None or given == "register" or given == "promote" or given == "keep":
        return given
    raise refused(f"on_change={given!r} must be 'register', 'promote' or 'keep'")


def read_encoding(encoding: object) -> Encoding:
    if encoding == "arrow" or encoding == "json":
        return encoding
    raise refused(f"encoding={encoding!r} must be 'arrow' or 'json'")


def read_extra(extra: object, type: object) -> Extra:
    if extra not in ("ignore", "reject"):
        raise refused(f"extra={extra!r} must be 'ignore' or 'reject'")
    if extra == "reject" and type is None:
        raise refused("extra='reject' needs a type that says which fields there are; without one any JSON is taken")
    return "reject" if extra == "reject" else "ignore"


def read_retry(retry: object) -> Retry:
    if isinstance(retry, Retry):
        return retry
    raise refused(f"retry={retry!r} is not a ps.Retry; write retry=ps.Retry(attempts=3)")


def instead_of(given: object) -> str:
    """What to write instead of a topic's name."""
    if isinstance(given, str):
        return f"; write: {given if given.isidentifier() else 'it'} = app.topic({given!r}) and pass that"
    return ""


def read_columns(names: Sequence[str], option: str, *, at_least_one: bool = False) -> tuple[str, ...]:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise refused(f"{option}={names!r} must be a list of column names; write {option}=[{names!r}]")
    if at_least_one and not names:
        raise refused(f"{option}=[] must name at least one column")
    if len(set(names)) < len(names):
        raise refused(f"{option}={list(names)!r} names a column twice")
    return tuple(names)


def hints_of(fn: Callable[..., Any]) -> dict[str, Any] | None:
    """The annotations as types; None where a name they use is not defined yet (see planning.functions)."""
    frame = declaring_frame()
    local = {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)
    try:
        return get_type_hints(fn, localns=local)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None


def place_of(fn: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(fn), "__code__", None)
    return declaring_place() if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def called(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", repr(fn))
