"""Runs a page of the docs: writes its files, types its commands, compares what it shows with what comes.

A block ```` ```console ```` holds commands after ``$ `` (one that ends in a backslash goes on in the next line) and
what they print; ``…`` stands for anything in a line, alone for any lines; where nothing is shown, anything may come. A
command must end well. Words after ``console`` name a terminal of its own; what runs there, such as ``penstock run``, is
left running once it has printed what is shown, and a line ``^C`` ends it. A block with a file's name after its language
is written to that file.

As a program, ``python -m tests.docs.pages PAGE FOLDER`` in a network of its own, since a page says 8000 and means it.
"""

from __future__ import annotations

import fcntl
import os
import queue
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PATIENCE = 180.0  # seconds for one command: making an environment takes 7, and has taken a minute on a busy machine
LASTING = ("penstock run", "penstock dev", "python -u -m http.server")
END = "--- the command ended with"
FENCE = re.compile(r"^```(\w*)[ ]*([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    name: str  # of a file, or of a terminal
    lines: list[str]


@dataclass
class Step:
    """``command`` is empty for what a command that still runs prints, and ``^C``."""

    command: str
    shown: list[str] = field(default_factory=list)


class Differs(Exception):
    """The page says one thing, and another came."""


def blocks(page: str) -> list[Block]:
    return [Block(kind, name.strip(), text.splitlines()) for kind, name, text in FENCE.findall(page)]


def steps(block: Block) -> list[Step]:
    found: list[Step] = []
    lines = iter(block.lines)
    for line in lines:
        if line.startswith("$ "):
            command = line[2:]
            while command.endswith("\\"):
                command += "\n" + next(lines)
            found.append(Step(command))
        elif line == "^C":
            found.append(Step(line))
        else:
            if not found:
                found.append(Step(""))
            found[-1].shown.append(line)
    return found


def like(shown: list[str]) -> str:
    """A pattern for lines as a page shows them."""
    parts = [r"(?:.*\n)*?" if s.strip() == "…" else re.escape(s.rstrip()).replace("…", ".*") + r"\n" for s in shown]
    return "".join(parts)


class Terminal:
    """A shell that somebody types into. What it prints comes line by line, errors among it."""

    def __init__(self, folder: Path) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, cwd=folder, start_new_session=True,
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line.rstrip())

    def do(self, step: Step) -> None:
        """Raises ``Differs``."""
        if step.command == "^C":
            self._interrupt()
        elif step.command:
            self._type(f'{{ {step.command}\n}} </dev/null; printf "\\n{END} %s\\n" $?\n')
        lasting = not step.command or step.command.startswith(LASTING)
        said = self._heard(step, like(step.shown) if lasting and step.shown else None)
        if not lasting and step.shown and not re.fullmatch(like(step.shown), said):
            raise Differs(f"$ {step.command}\nthe page shows:\n" + "\n".join(step.shown) + f"\nand it said:\n{said}")

    def where(self) -> Path:
        self._type(f'pwd; echo "{END} 0"\n')
        return Path(self._heard(Step("pwd"), None).strip())

    def close(self) -> None:
        """Nothing that was started here is left."""
        for process in psutil.Process(self._shell.pid).children(recursive=True):
            process.kill()
        self._shell.kill()
        self._shell.wait()
        self._reader.join()
        assert self._shell.stdin is not None and self._shell.stdout is not None
        self._shell.stdin.close()
        self._shell.stdout.close()

    def _type(self, text: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(text)
        self._shell.stdin.flush()

    def _interrupt(self) -> None:
        for process in psutil.Process(self._shell.pid).children():
            process.send_signal(signal.SIGINT)

    def _heard(self, step: Step, enough: str | None) -> str:
        """Until the command has ended; or has printed ``enough``, a pattern, and goes on."""
        said = ""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                raise Differs(
                    f"$ {step.command}\nwaited in vain for:\n" + "\n".join(step.shown) + f"\nafter:\n{said}"
                ) from None
            if line.startswith(END):
                if (code := int(line.rpartition(" ")[2])) or enough is not None:
                    raise Differs(f"$ {step.command}\nended with {code}:\n{said}")
                return said.rstrip("\n") + "\n" if said.strip() else ""
            said += line + "\n"
            if enough is not None and re.search("^" + enough, said, re.MULTILINE):
                return said


def run(page: str, folder: Path) -> int:
    """How many commands were typed. Raises ``Differs``."""
    terminals: dict[str, Terminal] = {"": Terminal(folder)}
    count = 0
    try:
        for block in blocks(page):
            if block.language == "console":
                if block.name not in terminals:
                    terminals[block.name] = Terminal(terminals[""].where())
                for step in steps(block):
                    terminals[block.name].do(step)
                    count += 1
            elif block.name:
                (terminals[""].where() / block.name).write_text("\n".join(block.lines) + "\n")
    finally:
        for terminal in terminals.values():
            terminal.close()
    return count


# -- a network of its own -----------------------------------------------------


def alone() -> list[str] | None:
    """The command that gives what follows a network of its own; None: this machine does not let us."""
    command = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    try:
        return command if not subprocess.run([*command, "true"], capture_output=True).returncode else None
    except FileNotFoundError:
        return None


def raise_loopback() -> None:
    """A new network has a loopback that is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        fcntl.ioctl(asking, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def main(page: str, folder: str) -> None:
    raise_loopback()
    print(run(Path(page).read_text(), Path(folder)), "commands")


def files(page: str) -> Iterator[str]:
    """The names of those that the page has its reader write."""
    return (block.name for block in blocks(page) if block.language != "console" and block.name)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Differs as differs:
        sys.exit(str(differs))
