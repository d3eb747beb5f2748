"""A page in a real browser, looked at and worked by its own protocol (Chrome DevTools) over a pipe."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.gateway.test_browser import OPTIONS, browser

PATIENCE = 60.0  # seconds for any one thing
TO_BROWSER, FROM_BROWSER = 3, 4  # the descriptors that it reads and writes


class Tab:
    """One page. ``told``: what the browser says of its own accord, such as that a script was refused."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = write, read
        self._left, self._count, self._session = b"", 0, ""
        self.told: list[dict[str, Any]] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    def visit(self, url: str) -> None:
        self._ask("Page.navigate", url=url)
        assert self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def find(self, script: str) -> Any:
        """The value of an expression in the page."""
        return self._ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def until(self, script: str) -> bool:
        deadline = time.monotonic() + PATIENCE
        while not (found := self.find(script)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return bool(found)

    def hears(self, text: str) -> bool:
        """Whether the browser says something of its own accord with this in it."""
        deadline = time.monotonic() + PATIENCE
        while not (heard := any(text in str(said) for said in self.told)) and time.monotonic() < deadline:
            time.sleep(0.05)
            self.find("0")  # what it says comes with its answers
        return heard

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            heard = self._heard(deadline)
            self.told += [said for said in heard if said.get("id") != self._count]
            for said in heard:
                if said.get("id") == self._count:
                    assert "error" not in said, said
                    return dict(said["result"])
        raise AssertionError(f"the browser does not answer {method}")

    def _heard(self, deadline: float) -> list[dict[str, Any]]:
        if select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))[0]:
            self._left += os.read(self._read, 1 << 20)
        *whole, self._left = self._left.split(b"\0")
        return [json.loads(said) for said in whole]


@contextmanager
def tab(folder: Path) -> Iterator[Tab]:
    to_it, write = os.pipe()
    read, from_it = os.pipe()

    def lay_out() -> None:
        os.dup2(to_it, 100)
        os.dup2(from_it, 101)
        os.dup2(100, TO_BROWSER)
        os.dup2(101, FROM_BROWSER)

    command = [browser(), *OPTIONS, "--remote-debugging-pipe", f"--user-data-dir={folder / 'profile'}", "about:blank"]
    with (folder / "browser.log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, start_new_session=True, close_fds=False, preexec_fn=lay_out
        )
    os.close(to_it)
    os.close(from_it)
    try:
        yield Tab(write, read)
    finally:
        os.killpg(process.pid, 9)
        process.wait(10)
        os.close(write)
        os.close(read)
