"""How a service runs in a container of its own, on whatever platform: what ``penstock`` is told, where it may write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..settings import Settings
from .requirements import COURIER, GATEWAY, WORKER

if TYPE_CHECKING:
    import pulumi

USER = 10001  # of the image, and its group
DATA, TMP = "/data", "/tmp"
"""All that is written to; the rest is a read-only file system."""

PROBES_PORT = 8081
DOORS_PORT = 8000
HALVES = {GATEWAY: "gateway", WORKER: "workers", COURIER: "courier"}
"""As ``--only`` calls what a service is."""

DRAIN = "PENSTOCK_DRAIN_TIMEOUT"
PUBLIC_URL = "PENSTOCK_PUBLIC_URL"
TOLD_URL = (GATEWAY, COURIER)
"""Who is told where others reach the doors: the courier has it in what it sends."""

GRACE_MARGIN_S = 10  # seconds between the end of a clean shutdown and the platform's kill, which leaves more to settle


@dataclass(frozen=True, slots=True)
class Doors:
    """``asks``: whoever comes has to show a key; ``is_open``: the platform's ingress leads to them."""

    asks: bool
    is_open: bool

    @property
    def words(self) -> list[str]:
        """Without an ingress they stay on the container's loopback."""
        words = ["--access", "keys"] if self.asks else []
        return words + (["--host", "0.0.0.0", "--port", str(DOORS_PORT)] if self.is_open else [])


def run_words(
    file: str,
    service: str,
    log: pulumi.Input[str],
    artifacts: pulumi.Input[str] | None,
    workers: int,
    doors: Doors,
) -> list[pulumi.Input[str]]:
    """``file``: of the app in the image; ``log`` and ``artifacts``: URLs, None for who has no use for models;
    ``workers``: processes of a worker's container; ``doors``: how those of the gateway's are."""
    words = ["run", file, "--only", HALVES[service], "--log", log]
    words += [] if artifacts is None else ["--artifacts", artifacts]
    words += ["--data", DATA, "--probes", f"0.0.0.0:{PROBES_PORT}"]
    words += doors.words if service == GATEWAY else []
    return words + (["--workers", str(workers)] if service == WORKER else [])


def grace_s(settings: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[int]:
    """Seconds that a service is given to end by itself."""
    import pulumi

    drain = settings.get(DRAIN, str(Settings().drain_timeout))
    found: pulumi.Output[int] = pulumi.Output.from_input(drain).apply(
        lambda text: math.ceil(float(text)) + GRACE_MARGIN_S
    )
    return found
