"""The Pulumi CLI, on a project that is written: whether it can begin, what it would change, and that it changes it."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from typing import Literal

from ...errors import CannotStart, PenstockError
from .own_files import PROGRAM, VENV
from .write import WrittenProject

INSTALL = "https://www.pulumi.com/docs/install/"
LOOK = "import sys, importlib.util; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
"""Whether an environment has these modules."""


class Pulumi:
    """``stack``: of the project, such as dev."""

    def __init__(self, project: WrittenProject, stack: str) -> None:
        self._project, self._stack = project, stack
        self._program = shutil.which("pulumi")

    def check_ready(self) -> None:
        """Raises ``CannotStart`` with what is missing, and the commands that bring it: the CLI, a login, the stack,
        values in its configuration, the project's environment. Nothing has changed then."""
        if self._program is None:
            raise CannotStart(
                f"deploying takes the Pulumi CLI, and no pulumi is on the PATH: {INSTALL} says how to get it"
            )
        missing = [*self._missing_values(), *self._missing_environment()]
        if missing:
            raise CannotStart(
                "\n".join([f"not deployed yet; in {self._project.directory} there is missing:", *missing])
            )

    def preview(self) -> None:
        """Raises ``PenstockError``; nothing has changed in any case."""
        self._show("preview")

    def apply(self) -> None:
        """Raises ``PenstockError``: part of it may be made then, and the next time goes on from there."""
        self._show("up", "--yes", "--skip-preview")

    def _missing_values(self) -> list[str]:
        known, file = self._configuration(), self._project.directory / PROGRAM
        program = file.read_text() if file.is_file() else ""
        found = []
        for wanted in self._project.wanted:
            if not _is_asked(wanted.key, program):
                continue
            there = known.get(wanted.key if ":" in wanted.key else f"{self._project.name}:{wanted.key}")
            if there is None or there.get("value") == "":
                found.append(f"  a value of {wanted.key} ({wanted.why}): {self._of_the_stack(wanted.command)}")
            elif wanted.is_secret and not there.get("secret"):
                found.append(
                    f"  {wanted.key} as a secret, it is there in the clear: {self._of_the_stack(wanted.command)}"
                )
        return found

    def _configuration(self) -> dict[str, dict[str, str]]:
        done = subprocess.run(
            [self._program or "", "config", "--json", "--non-interactive", "--stack", self._stack],
            cwd=self._project.directory, capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        told = done.stderr.strip()
        if "no stack named" in told:
            raise self._not_ready(f"no stack '{self._stack}'", f"pulumi stack init {self._stack}", told)
        if done.returncode and ("login" in told or "logging in" in told):
            raise self._not_ready("nobody is logged in to Pulumi", "pulumi login, or pulumi login --local", told)
        try:
            if done.returncode:
                raise ValueError(told)
            found: dict[str, dict[str, str]] = json.loads(done.stdout or "{}")
        except ValueError as error:
            raise CannotStart(
                f"pulumi config, in {self._project.directory}, does not say what is set: {error}"
            ) from None
        return found

    def _not_ready(self, what: str, command: str, told: str) -> CannotStart:
        return CannotStart(f"not deployed yet: {what}; in {self._project.directory}: {command} ({told})")

    def _of_the_stack(self, command: str) -> str:
        return f"{command} --stack {self._stack}"

    def _missing_environment(self) -> list[str]:
        """Of the environment that the project has when it is written; the user may have chosen another."""
        chosen = (self._project.directory / "Pulumi.yaml").read_text()
        if f"virtualenv: {VENV}\n" not in chosen:
            return []
        python = self._project.directory / VENV / "bin" / "python"
        if not python.exists():
            return [f"  its environment, {VENV}/: pulumi install"]
        if subprocess.run([python, "-c", LOOK, "penstock", "pulumi", self._project.sdk]).returncode:
            return [f"  Penstock or {self._project.sdk} in {VENV}/: pulumi install"]
        return []

    def _show(self, what: Literal["preview", "up"], *options: str) -> None:
        """What it prints goes to the terminal as it comes. At Ctrl-C it gets the signal as well and ends in order: who
        did not wait for that would leave half an update and a stack that is locked."""
        # Not ignored: that is what the child would begin with too.
        before = signal.signal(signal.SIGINT, lambda *_: None)
        try:
            words = [self._program or "", what, "--stack", self._stack, *options]
            code = subprocess.run(words, cwd=self._project.directory).returncode
        finally:
            signal.signal(signal.SIGINT, before)
        if code:
            raise PenstockError(f"pulumi {what} failed, and says above why (exit code {code})")


def _is_asked(key: str, program: str) -> bool:
    """The program is the user's and may have a value from elsewhere; a provider looks its own up if none is given."""
    _, colon, argument = key.partition(":")
    asks = re.search(rf"""\(\s*["']{re.escape(key)}["']""", program)  # it is what something is called with
    return f"{argument}=" not in program if colon else asks is not None
