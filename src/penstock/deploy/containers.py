"""How a service runs in a container of its own, on whatever platform: what ``penstock`` is told, where it may write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..settings import Settings
from .requirements import COURIER, GATEWAY, WORKER

if TYPE_CHECKING:
    import pulumi

USER = 10001  # of the image, and its group
DATA, TMP = "/data", "/tmp"
"""All that is written to; the rest is a read-only file system."""

PROBES_PORT = 8081
HALVES = {GATEWAY: "gateway", WORKER: "workers", COURIER: "courier"}
"""As ``--only`` calls what a service is."""

DRAIN = "PENSTOCK_DRAIN_TIMEOUT"
GRACE_MARGIN_S = 10  # seconds between the end of a clean shutdown and the platform's kill, which leaves more to settle


def run_words(
    file: str, service: str, log: pulumi.Input[str], artifacts: pulumi.Input[str] | None, workers: int
) -> list[pulumi.Input[str]]:
    """``file``: of the app in the image; ``log`` and ``artifacts``: URLs, None for who has no use for models;
    ``workers``: processes of a worker's container."""
    words = ["run", file, "--only", HALVES[service], "--log", log]
    words += [] if artifacts is None else ["--artifacts", artifacts]
    words += ["--data", DATA, "--probes", f"0.0.0.0:{PROBES_PORT}"]
    return words + (["--workers", str(workers)] if service == WORKER else [])


def grace_s(settings: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[int]:
    """Seconds that a service is given to end by itself."""
    import pulumi

    drain = settings.get(DRAIN, str(Settings().drain_timeout))
    found: pulumi.Output[int] = pulumi.Output.from_input(drain).apply(
        lambda text: math.ceil(float(text)) + GRACE_MARGIN_S
    )
    return found
