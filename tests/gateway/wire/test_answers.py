"""What an error is as an HTTP answer."""

import errno
import json

import pytest

from penstock.gateway.wire.answers import problem


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_whatever_met_it(number: int) -> None:
    status, _, body = problem(OSError(number, "No space left on device", "/data/artifacts/x"))
    said = json.loads(body)["error"]
    assert (status, said["code"]) == (507, "log_full")
    assert "no space is left" in said["message"] and "/data/artifacts/x" in said["message"]


def test_another_fault_of_the_system_says_nothing_of_itself() -> None:
    status, _, body = problem(OSError(errno.EIO, "Input/output error", "/data/secret"))
    assert status == 500 and b"secret" not in body
