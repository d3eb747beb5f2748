"""Which worker a call goes to: each in turn, and the next one when it is busy or gone."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pyarrow as pa

from ..errors import Busy, Unavailable
from ..stages.scoring.call_server import ask


class Workers:
    """``folder`` holds the workers' sockets, ``*.sock``; who comes and goes is seen at the next call. ``elsewhere``:
    there are none, for the workers are other hosts'."""

    def __init__(self, folder: Path, *, elsewhere: bool = False) -> None:
        self._folder, self._elsewhere = folder, elsewhere
        self._turn = count()

    async def ask(self, model: str, rows: pa.RecordBatch) -> tuple[pa.RecordBatch, str]:
        """Raises what ``stages.scoring.call_server.ask`` raises, ``Busy`` when no worker takes the call, and where none
        ever will ``Unavailable``."""
        if self._elsewhere:
            raise Unavailable(
                "these doors have no workers beside them (--only gateway), and calls go to those of one run alone: "
                "publish with ?wait=, or call a run without --only"
            )
        sockets = sorted(self._folder.glob("*.sock"))
        first = next(self._turn)
        refusal = Busy("no worker is running yet")
        for place in range(len(sockets)):
            try:
                return await ask(sockets[(first + place) % len(sockets)], model, rows)
            except Busy as error:
                refusal = error
        raise refusal
