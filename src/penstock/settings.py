"""Limits, intervals, and where others reach us. Each may be set as an environment variable, ``PENSTOCK_`` + its name in
capitals."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, fields, replace
from typing import Self

from .errors import DeclarationError

MIB = 1 << 20
MAY_BE_ZERO = ("subscriptions_inside",)
_PLAIN = re.compile(r"[!-\[\]-~]{1,2000}")  # visible ASCII without backslash, which readers of URLs differ on
DEV = "PENSTOCK_DEV"  # 1 in what `penstock dev` starts


def in_dev() -> bool:
    """Is this a process of ``penstock dev``, where whoever edits the app looks on?"""
    return os.environ.get(DEV) == "1"


@dataclass(frozen=True, slots=True)
class Settings:
    # the doors
    body_limit: int = 32 * MIB  # bytes of one request, as sent and again as decompressed
    event_limit: int = 1 * MIB  # bytes of one event
    batch_limit: int = 50_000  # events of one request
    depth_limit: int = 64  # levels of JSON
    queue_limit: int = 64 * MIB  # bytes accepted and not yet durable; beyond it publishers are told to wait
    connection_limit: int = 2_048  # connections served at once
    header_timeout: float = 10.0  # seconds for the head of a request to arrive
    body_timeout: float = 60.0  # seconds for its body to arrive
    write_timeout: float = 20.0  # seconds for a client to take 64 KiB of an answer
    wait_limit: float = 30.0  # seconds that ?wait= may ask for

    # the stages
    batch_time: float = 0.025  # seconds that one call to a model or function may take; caps the batch
    batch_rows: int = 16_384  # rows of one call, whatever the time
    poison_after: float = 600.0  # seconds after which a row that fails alone is poison
    drain_timeout: float = 20.0  # seconds that a clean shutdown may take
    stopped_timeout: float = 10.0  # seconds that a process may stand still (SIGSTOP) before another takes its place

    # the runner
    runner_memory: int = 2_048 * MIB  # resident bytes at which a runner is killed
    runner_start: float = 30.0  # seconds to import the app, to open a function's resources or to load a model
    keep_warm: float = 600.0  # seconds that a scorer keeps the version before the current one loaded
    artifact_cache: int = 16_384 * MIB  # bytes of artifacts from object storage that a host keeps over a start

    # the courier
    handshake_timeout: float = 300.0  # seconds in which a handshake can be granted by hand
    subscriptions_per_source: int = 500  # put at run time to one topic
    subscriptions_limit: int = 10_000  # put at run time in all
    subscriptions_inside: int = 0  # 1, to develop: those put from outside may go to http:// and inside
    public_url: str = ""  # where others reach the doors, a proxy's URL; empty: they do not

    # the embedded log
    member_timeout: float = 6.0  # seconds without a heartbeat after which a live but silent process loses its leases
    holder_timeout: float = 5.0  # seconds that a process may hold the writers' lock
    poll_interval: float = 1.0  # seconds between looks when no wake-up came

    @property
    def artifact_limit(self) -> int:
        """Bytes of a model's file. A runner that loads one holds its bytes about twice: as read, and as a model."""
        return self.runner_memory // 2

    @classmethod
    def from_env(cls, environ: dict[str, str] | None = None) -> Self:
        """Raises ``DeclarationError`` for a value that is not a number of the right kind, or no URL."""
        given = os.environ if environ is None else environ
        chosen = cls()
        for field in fields(cls):
            name = f"PENSTOCK_{field.name.upper()}"
            if (text := given.get(name)) is None:
                continue
            if field.name == "public_url":
                chosen = replace(chosen, public_url=_checked_url(name, text))
                continue
            kind: type[int] | type[float] = type(getattr(chosen, field.name))
            try:
                value = kind(text)
            except ValueError:
                raise DeclarationError(
                    f"{name}={text!r} is not {'an integer' if kind is int else 'a number'}"
                ) from None
            if not 0 <= value < math.inf or (value == 0 and field.name not in MAY_BE_ZERO):
                raise DeclarationError(f"{name}={text!r} must be above 0 and finite")
            chosen = replace(chosen, **{field.name: value})  # type: ignore[arg-type]  # kinds checked above
        return chosen


def _checked_url(name: str, text: str) -> str:
    """Without a slash at its end. The URL is in no message: it may hold what is secret by mistake."""
    from urllib.parse import urlsplit  # that few processes need

    try:
        parts = urlsplit(text)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if text and (not good or "@" in parts.netloc or "?" in text or "#" in text or not _PLAIN.fullmatch(text)):
        raise DeclarationError(
            f"{name} is no URL to which a path can be added; write where others reach the doors, such as "
            "https://events.example.com, without a user, a query or a fragment"
        )
    return text.rstrip("/")
