"""The function shapes that ``@app.on`` accepts, for type checkers; calling one records the function.

Each shape is spelled out, because only an overload gives the function back with the type it had.
"""

# The shapes overlap only for an E or O that is itself a list, an Event or awaitable, which no event type is.
# mypy: disable-error-code="overload-overlap"

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from .events import Event

if TYPE_CHECKING:
    import polars as pl

E = TypeVar("E")
O = TypeVar("O")  # noqa: E741  # the output event
R = TypeVar("R")
P = ParamSpec("P")

Fn: TypeAlias = Callable[Concatenate[E, P], R]


class ArrowRows(Protocol):
    """What a ``pyarrow.RecordBatch`` has, and neither an event nor a polars frame; pyarrow itself is untyped."""

    @property
    def num_rows(self) -> int: ...
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...


A = TypeVar("A", bound=ArrowRows)


class To(Generic[E, O]):
    """``@app.on(source, to=target)``: from events of E to events of O."""

    def __init__(self, record: Callable[[Callable[..., Any]], None]) -> None:
        self._record = record

    @overload
    def __call__(self, fn: Fn[pl.DataFrame, P, pl.DataFrame], /) -> Fn[pl.DataFrame, P, pl.DataFrame]: ...
    @overload
    def __call__(
        self, fn: Fn[pl.DataFrame, P, Awaitable[pl.DataFrame]], /
    ) -> Fn[pl.DataFrame, P, Awaitable[pl.DataFrame]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, O], /) -> Fn[E, P, O]: ...
    @overload
    def __call__(self, fn: Fn[E, P, O | None], /) -> Fn[E, P, O | None]: ...
    @overload
    def __call__(self, fn: Fn[E, P, list[O]], /) -> Fn[E, P, list[O]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, Iterable[O]], /) -> Fn[E, P, Iterable[O]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, Awaitable[O]], /) -> Fn[E, P, Awaitable[O]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, Awaitable[O | None]], /) -> Fn[E, P, Awaitable[O | None]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, Awaitable[Iterable[O]]], /) -> Fn[E, P, Awaitable[Iterable[O]]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, O], /) -> Fn[Event[E], P, O]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, O | None], /) -> Fn[Event[E], P, O | None]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, list[O]], /) -> Fn[Event[E], P, list[O]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, Iterable[O]], /) -> Fn[Event[E], P, Iterable[O]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, Awaitable[O]], /) -> Fn[Event[E], P, Awaitable[O]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, Awaitable[O | None]], /) -> Fn[Event[E], P, Awaitable[O | None]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, Awaitable[Iterable[O]]], /) -> Fn[Event[E], P, Awaitable[Iterable[O]]]: ...
    @overload
    def __call__(self, fn: Fn[list[E], P, list[O]], /) -> Fn[list[E], P, list[O]]: ...
    @overload
    def __call__(self, fn: Fn[list[E], P, Sequence[O | None]], /) -> Fn[list[E], P, Sequence[O | None]]: ...
    @overload
    def __call__(
        self, fn: Fn[list[E], P, Awaitable[Sequence[O | None]]], /
    ) -> Fn[list[E], P, Awaitable[Sequence[O | None]]]: ...
    @overload
    def __call__(self, fn: Fn[A, P, A], /) -> Fn[A, P, A]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        self._record(fn)
        return fn


class Sink(Generic[E]):
    """``@app.on(source)``: nothing comes of it but what the function does."""

    def __init__(self, record: Callable[[Callable[..., Any]], None]) -> None:
        self._record = record

    @overload
    def __call__(self, fn: Fn[pl.DataFrame, P, None], /) -> Fn[pl.DataFrame, P, None]: ...
    @overload
    def __call__(self, fn: Fn[pl.DataFrame, P, Awaitable[None]], /) -> Fn[pl.DataFrame, P, Awaitable[None]]: ...
    @overload
    def __call__(self, fn: Fn[E, P, None], /) -> Fn[E, P, None]: ...
    @overload
    def __call__(self, fn: Fn[E, P, Awaitable[None]], /) -> Fn[E, P, Awaitable[None]]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, None], /) -> Fn[Event[E], P, None]: ...
    @overload
    def __call__(self, fn: Fn[Event[E], P, Awaitable[None]], /) -> Fn[Event[E], P, Awaitable[None]]: ...
    @overload
    def __call__(self, fn: Fn[list[E], P, None], /) -> Fn[list[E], P, None]: ...
    @overload
    def __call__(self, fn: Fn[list[E], P, Awaitable[None]], /) -> Fn[list[E], P, Awaitable[None]]: ...
    @overload
    def __call__(self, fn: Fn[A, P, None], /) -> Fn[A, P, None]: ...
    def __call__(self, fn: Callable[..., Any], /) -> Callable[..., Any]:
        self._record(fn)
        return fn
