"""What a run is told, as the command line says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ...gateway.tls.certificates import TLSFiles


@dataclass(frozen=True, slots=True)
class Options:
    target: str  # app.py, app.py:variable or module:variable
    data: Path
    workers: int
    host: str = "127.0.0.1"
    port: int = 8000
    reload: bool = False  # watch the user's files, as `penstock dev` does
    log: str = ""  # the URL of a cluster that holds the log; else it is in the data directory
    artifacts: str = ""  # the URL of object storage that holds the models' artifacts; else they are there too
    only: str = ""  # gateway, workers or courier: one part alone, the others run elsewhere on the same cluster
    probes: tuple[str, int] | None = None  # where probes are answered; None: nowhere
    catch: bool = False  # webhooks are caught by the gateway, and nobody gets them
    access: str = ""  # keys: whoever comes shows one; else only this machine is served
    tls: TLSFiles | None = None  # with which the doors speak TLS, and nothing else; None: they speak in plain
