"""Looking at artifacts that are to be registered, each in a runner apart: the registry waits for none of them.

Loading runs code that may hang. So a command is left unanswered while its artifact is looked at, and asked again when
that is done: the same command, by its id, in the log. Whoever owns the registry then has the result, or looks again.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, get_ident

from ..errors import ArtifactDamaged, ModelRefused, PenstockError, RunnerDied, TaskFailed
from ..models.interface import Signature
from ..models.messages import Register
from ..runner.interface import Runner
from ..telemetry import logger
from .scoring.loading import Background, in_thread
from .scoring.slots import Loan

KEPT = 64  # results that nobody has fetched
AT_ONCE = 3  # artifacts; each may take the memory of a runner

log = logger(__name__)

Look = Callable[[Runner], tuple[str, Signature]]
"""Has the runner load the artifact. Raises what ``Runner.inspect`` raises."""
Borrow = Callable[[Register], Loan]
"""A runner for the command's artifact: of its own, or the one of a scorer that would load it first."""
AskAgain = Callable[[Register], None]
"""Appends the command once more; it is answered once."""


class Inspections:
    """Those under way, and the results that nobody has fetched yet. For any thread."""

    def __init__(self, borrow: Borrow, again: AskAgain, background: Background = in_thread) -> None:
        self._borrow, self._again, self._background = borrow, again, background
        self._lock = Lock()
        self._found: dict[str, tuple[str, Signature] | PenstockError] = {}
        self._running: dict[str, Loan] = {}
        self._waiting: dict[str, tuple[Register, Look]] = {}
        self._closed = False

    def result(self, command: Register, look: Look) -> tuple[str, Signature] | None:
        """What came of looking; None while that takes its time, and then the command is asked again.

        Raises ``ModelRefused`` or ``ArtifactDamaged``. An artifact that kills its loader is refused too: it would do
        the same to every scorer.
        """
        with self._lock:
            if command.id not in self._found and command.id not in self._running:
                self._waiting.setdefault(command.id, (command, look))
        self._begin(asking=get_ident())
        with self._lock:
            found = self._found.pop(command.id, None)
        if isinstance(found, PenstockError):
            raise found
        return found

    def close(self) -> None:
        """What is under way ends soon, and nothing comes of it: another owner looks again."""
        with self._lock:
            self._closed = True
            self._waiting.clear()
            running = list(self._running.values())
        for loan in running:
            loan.runner.close()

    def _begin(self, asking: int | None = None) -> None:
        """``asking``: the thread that waits for a result, and needs no command to hear of it."""
        while True:
            with self._lock:
                if self._closed or not self._waiting or len(self._running) >= AT_ONCE:
                    return
                id = next(iter(self._waiting))
                command, look = self._waiting.pop(id)
                loan = self._running[id] = self._borrow(command)
            self._background(lambda c=command, n=loan, k=look: self._run(c, n, k, asking))  # type: ignore[misc]

    def _run(self, command: Register, loan: Loan, look: Look, asking: int | None) -> None:
        with loan.turn:
            found = _looked(loan.runner, look)
        loan.give_back(not isinstance(found, PenstockError))
        with self._lock:
            del self._running[command.id]
            if self._closed:
                return
            self._found[command.id] = found
            while len(self._found) > KEPT:  # another owner has answered what is not fetched
                del self._found[next(iter(self._found))]
        if get_ident() != asking:
            self._ask_again(command)
            self._begin()

    def _ask_again(self, command: Register) -> None:
        try:
            self._again(command)
        except PenstockError as error:
            log.error("a registration waits to be asked again", model=command.name, reason=str(error))


def _looked(runner: Runner, look: Look) -> tuple[str, Signature] | PenstockError:
    try:
        return look(runner)
    except (ModelRefused, ArtifactDamaged) as error:
        return error
    except (TaskFailed, RunnerDied) as error:
        return ModelRefused(f"the artifact could not be loaded: {error}")
    except Exception as error:
        log.error("an artifact could not be looked at", exc_info=True)
        return ModelRefused(f"the artifact could not be looked at: {type(error).__name__}: {error}")
