"""`penstock run` where the shell closed a standard stream."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.run.server import PENSTOCK, write_app


@pytest.mark.parametrize("closed", [[2], [0, 2]])
def test_a_closed_stream_does_not_keep_it_from_running(tmp_path: Path, closed: list[int]) -> None:
    def shut() -> None:
        for descriptor in closed:
            os.close(descriptor)

    command = [*PENSTOCK, "run", str(write_app(tmp_path)), "--data", str(tmp_path / "data"), "--port", "0"]
    with subprocess.Popen(
        [*command, "--workers", "1"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=shut,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("ready "), "it ended in silence"
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
