from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest

from penstock.errors import Busy, Unavailable
from penstock.gateway.workers import Workers

ROWS = pa.record_batch({"n": [1]})


def test_a_call_before_there_is_a_worker_may_come_again(tmp_path: Path) -> None:
    with pytest.raises(Busy, match="no worker is running yet"):
        asyncio.run(Workers(tmp_path).ask("m", ROWS))


def test_where_there_never_is_one_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"--only gateway.*publish with \?wait=, or call a run without --only"):
        asyncio.run(Workers(tmp_path, elsewhere=True).ask("m", ROWS))
