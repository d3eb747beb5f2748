"""In place of the Pulumi CLI: says and returns what the real one did (3.274.1), and writes down how it was called.

A folder named by STANDIN holds `calls`, one JSON list a line, and `state.json`: `login`, `stacks` (each with its
configuration), `fails` (the commands that fail), `interrupted` (the command that waits for Ctrl-C).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main(words: list[str]) -> int:
    folder = Path(os.environ["STANDIN"])
    with (folder / "calls").open("a") as calls:
        calls.write(json.dumps([Path.cwd().name, *words]) + "\n")
    state = json.loads((folder / "state.json").read_text())
    stack = words[words.index("--stack") + 1]
    if not state["login"]:
        return fail("PULUMI_ACCESS_TOKEN must be set for login during non-interactive CLI sessions", 3)
    if stack not in state["stacks"]:
        return fail(f"no stack named '{stack}' found", 6)
    if words[0] in state["fails"]:
        return fail("it is as it is", 1)
    if words[0] == "config":
        print(json.dumps(state["stacks"][stack]))
    else:
        print({"preview": "Previewing update", "up": "Updating"}[words[0]], f"({stack}):", flush=True)
    if words[0] == state["interrupted"]:
        signal.signal(signal.SIGINT, end_in_order)
        (folder / "waiting").touch()
        time.sleep(60)
    return 0


def end_in_order(*_: object) -> None:
    time.sleep(1)
    print("ended in order", flush=True)
    sys.exit(1)


def fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
