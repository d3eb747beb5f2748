"""`penstock run`: the process that starts the others, starts them again when they die, and stops them in order.

It stays light: no user code, no Arrow, no log. It owns two things for its children: the data directory, and the
listening socket, so that a gateway killed and started again refuses nobody in between. Who asks how the run is gets an
answer of itself (``probes``), also while its children hang.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from ... import tokens
from ...clock import SystemClock
from ...errors import CannotStart
from ...gateway.catching.paths import PATH
from ...gateway.readiness import reasons, state
from ...gateway.tls.certificates import load
from ...log.processes.in_place import InPlace
from ...log.processes.write_lock import HolderWatch
from ...models.shared import trim
from ...settings import Settings
from ...telemetry import logger
from ...telemetry.metrics import CONTENT_TYPE, counter, exposition, forget_process, share_metrics
from .. import outliving as outliving_memory
from ..descriptors import make_room
from ..directory import DataDirectory
from ..process import MEND, reported, reporting
from .children import Child
from .options import Options
from .probes import ProbeAnswer, Probes
from .readiness import SystemReadiness, readiness
from .signals import Signals
from .sockets import address, listen, listen_anywhere, uncaught
from .standstill import Standstill
from .turn import StartTurn
from .watch import Watch

GIVE_UP = 5  # failed starts of one child before all were ready: it will not come up
PATIENCE_S = 60.0  # seconds that stages may take to become ready; then it is said that they are not
GATEWAY, COURIER = "gateway", "courier"  # their names as children
SHARED = (
    "what is caught here is delivered to nobody, also events that other runs have put into the same topics: give --log "
    "a namespace of your own, kafka://HOST:PORT/NAMESPACE"
)
LOOK_S = 0.5  # seconds between two looks at the children when nothing was heard

RESTARTS = counter("process_restarts", "Processes started again after a death", "process")

log = logger(__name__)


class Explained(CannotStart):
    """A child has said on stderr what the user must mend; nothing is left to say."""


class Stopped(Exception):
    """Told to stop while the user's file was checked."""


class Supervisor:
    """``announce`` is called with one line of text for the user: ``ready http://HOST:PORT`` (``https://`` with TLS), or
    without doors ``ready workers`` or ``ready courier``."""

    def __init__(self, options: Options, announce: Callable[[str], None]) -> None:
        self.options = options
        self.announce = announce
        self.settings = Settings.from_env()
        self._clock = SystemClock()
        self.directory = DataDirectory(options.data)
        self._where = [options.log, options.artifacts]
        self._names: tuple[str, ...] | None = None  # which the certificate of the doors is good for; None: no TLS
        self._run = secrets.token_hex(8)  # with a child's name its slot on a cluster, which other hosts share
        self._plans = 0
        self._plan: Path | None = None
        self._has_courier = False
        self._ready = False
        self._draining = False
        self._up_since: float | None = None  # when every child had said how it is
        self._holders = HolderWatch(self.directory.root / "write.lock", self._clock, self.settings.holder_timeout)
        self._next_holder = 0.0
        self._standstill = Standstill(self._clock, self.settings.stopped_timeout)
        self._in_place = InPlace(())
        self._outliving: dict[str, int] = {}  # by worker: see ``run.outliving``
        self._condemned: set[int] = set()  # process ids of children that are killed from here

    def run(self) -> None:
        """Serve until told to stop; a clean stop returns.

        Raises what keeps it from starting, and ``LogGone`` when the data directory goes from under it.
        """
        make_room(self.settings.connection_limit)  # before the children, who inherit it
        if self.options.tls is not None:
            self._names = load(self.options.tls).names
        with ExitStack() as stack:
            self.directory.claim()
            stack.callback(self.directory.release)
            trim(self.directory.cache, self.settings.artifact_cache)
            self.listener = self._listen(stack)
            self.signals = stack.enter_context(Signals())
            share_metrics(self.directory.metrics, clean=True)
            workers = list(self._workers())
            self.children = [*self._gateways(), *workers[:1]]
            self._turn = StartTurn(workers[1:], self._clock)
            stack.callback(self._close)
            stack.callback(self._kill)
            self._answer_probes(stack)
            try:
                self._start()
                while not self.signals.stop:
                    self._look()
            except Stopped:
                return
            self._drain()

    # -- start ----------------------------------------------------------------

    def _listen(self, stack: ExitStack) -> socket.socket | None:
        if self.options.only in ("workers", "courier"):
            return None
        listener = stack.enter_context(listen(self.options.host, self.options.port, access=bool(self.options.access)))
        host, port = listener.getsockname()[:2]
        stack.enter_context(tokens.announced(host, port, self.directory.secret))
        return listener

    def _gateways(self) -> Iterator[Child]:
        if (listener := self.listener) is not None:
            arguments = [str(self.directory.root), str(listener.fileno()), *self._where, f"{GATEWAY}-{self._run}"]
            arguments += [self.options.only, "catch" if self.options.catch else "", self.options.access]
            arguments += [] if self.options.tls is None else self.options.tls.arguments
            yield Child(GATEWAY, "penstock.run.gateway", arguments, [listener.fileno()])

    def _workers(self) -> Iterator[Child]:
        """Without doors the first does what a gateway does beside them."""
        only = self.options.only
        for n in range(1, 0 if only in ("gateway", "courier") else self.options.workers + 1):
            name, outliving = f"worker-{n}", outliving_memory.make()
            self._outliving[name] = outliving
            arguments = [str(self.directory.root), name, *self._where, f"{name}-{self._run}", str(outliving)]
            arguments += [only] if n == 1 else []
            yield Child(name, "penstock.run.worker", arguments, [outliving])

    def _couriers(self) -> Iterator[Child]:
        """One, where the app has subscriptions; which only the plan says."""
        only, wanted = self.options.only, _has_subscriptions(self._plan)
        if self._has_courier or only not in ("", "courier") or not (wanted or only):
            return
        self._has_courier = True
        where = [str(self.directory.root), COURIER, self.options.log, f"{COURIER}-{self._run}"]
        trusted = [] if self.options.tls is None else [str(self.options.tls.certificate)]
        yield Child(COURIER, "penstock.run.courier", [*where, only, self._catcher(), *trusted])

    def _catcher(self) -> str:
        """The address of what catches webhooks; empty: they are sent."""
        return self._address() if self.options.catch else ""

    def _address(self) -> str:
        return "" if self.listener is None else address(self.listener, self._names)

    def _start(self) -> None:
        """The first children import what they need while the user's file is checked."""
        for child in self.children:
            child.start()
        self._plan = self._check()
        self._in_place = InPlace(self.directory.lasting)
        self._watch = Watch(self._sources(), self._clock) if self.options.reload else None
        for child in self.children:
            child.tell(self._plan)
        self._turn.begin()
        self.children += self._couriers()

    def _check(self) -> Path:
        """Import the user's file in a process of its own, which also creates topics and seeds models."""
        self._plans += 1
        # Of this process alone: a check that outlives a killed supervisor for a moment must not write into the next's.
        plan = self.directory.run / f"plan-{os.getpid()}-{self._plans}"
        command = [sys.executable, "-P", "-m", "penstock.run.check", self.options.target, str(self.directory.root)]
        checker = subprocess.Popen([*command, str(plan), *self._where, self.options.only], stdin=subprocess.DEVNULL)
        while checker.poll() is None:
            if self.signals.wait(0.02) and self.signals.stop:
                checker.kill()
                checker.wait()
                raise Stopped
        if checker.returncode == MEND:
            raise Explained
        if checker.returncode != 0:
            target, how = self.options.target, ended(checker.returncode)
            raise CannotStart(f"{target} cannot be imported: the process that imported it ended with {how}")
        return plan

    # -- watch over -----------------------------------------------------------

    def _look(self) -> None:
        self._in_place.check()
        self.children += self._turn.over(ready=self._ready)
        for child in self.children:
            self._revive(child)
        if not self._ready and (stages := self._settled()) is not None:
            self._ready = True
            self.announce(f"ready {self._address() or self.options.only}")
            for stage, reason in stages.missing:
                self.announce(f"not ready: {stage}: {reason}")
            if (catcher := self._catcher()) and _has_webhooks(self._plan):
                self.announce(f"webhooks are caught: {catcher}{PATH} ; --deliver sends them for real")
                if self.options.log:
                    log.warning(SHARED)
                if self.options.tls is not None and (why := uncaught(self.options.tls, self._names or ())):
                    log.warning(why)
        self._free_lock()
        self._replace_stopped()
        if self._watch is not None and (changed := self._watch.changed()):
            self._reload(changed)
        self.signals.wait(LOOK_S if self._ready else 0.02)

    def _settled(self) -> SystemReadiness | None:
        """How the stages are, once all are at work that can be; None: some are on their way."""
        said = [reported(self.directory, c.name, c.pid) for c in self.children if c.alive and not c.asked]
        heard = [each for each in said if each is not None]
        if len(heard) < len(self.children):
            self._up_since = None
            return None
        self._up_since = self._up_since or self._clock.monotonic()
        stages = readiness(heard)
        late = self._clock.monotonic() - self._up_since > PATIENCE_S
        return stages if stages.settled or late else None

    def _revive(self, child: Child) -> None:
        pid, asked = child.pid, child.asked
        if (code := child.ended()) is not None:
            was_ready = asked or reporting(self.directory, child.name, pid)
            child.restarts.ended(self._clock.monotonic(), was_ready=was_ready)
            self._tell_next_life(child.name, code, ours=asked or pid in self._condemned)
            self._condemned.discard(pid)
            if not asked:
                self._note_death(child, pid, code)
        if not child.alive and self._clock.monotonic() >= child.restarts.due:
            child.start(self._plan)

    def _tell_next_life(self, name: str, code: int, *, ours: bool) -> None:
        """What a worker had in hand says something only when a signal ended it that did not come from here."""
        if (outliving := self._outliving.get(name)) is None:
            return
        if code < 0 and not ours:
            outliving_memory.died(outliving, killed_by(-code))
        else:
            outliving_memory.forget(outliving)

    def _note_death(self, child: Child, pid: int, code: int) -> None:
        if code == MEND and not self._ready:
            raise Explained
        forget_process(self.directory.metrics, pid)
        RESTARTS.labels(child.name).inc()
        how, failed = ended(code), child.restarts.failed
        if failed >= GIVE_UP and not self._ready:
            raise CannotStart(f"{child.name} died {failed} times while starting ({how}); see above")
        if (delay := child.restarts.due - self._clock.monotonic()) > 0:
            log.error(f"{child.name} keeps dying while starting", how=how, starts=failed, next_in=f"{delay:.1f}s")
        else:
            log.warning(f"{child.name} died and is started again", how=how)

    def _free_lock(self) -> None:
        """A process that stands still while it holds the writers' lock stops every other one."""
        if self._clock.monotonic() < self._next_holder:
            return
        self._next_holder = self._clock.monotonic() + 1.0
        if (pid := self._holders.stuck()) is None:
            return
        for child in self.children:
            if child.pid == pid:
                log.error(f"{child.name} held the writers' lock for too long and is killed", pid=pid)
                self._condemned.add(pid)
                child.kill()
                return
        log.error("a process that is none of ours holds the writers' lock; end it", pid=pid)

    def _replace_stopped(self) -> None:
        """One that was stopped answers nobody, and what it holds is held until it goes on."""
        for child in self.children:
            if child.alive and not child.asked and self._standstill.too_long(child.pid):
                log.error(f"{child.name} was stopped for too long and is killed", pid=child.pid)
                self._condemned.add(child.pid)
                child.kill()

    # -- reload ---------------------------------------------------------------

    def _sources(self) -> list[Path]:
        """What the check imported from where the app lies, the app's own file first."""
        assert self._plan is not None
        return [Path(line) for line in self._plan.with_suffix(".files").read_text().splitlines()]

    def _reload(self, changed: list[Path]) -> None:
        """The old plan goes on serving until the new one stands."""
        names = ", ".join(path.name for path in changed)
        self.announce(f"changed: {names}")
        try:
            self._plan = self._check()
        except CannotStart as error:
            if str(error):
                log.error(str(error))
            self.announce("the app as it was goes on; mend the file and save it again")
            return
        self._watch = Watch(self._sources(), self._clock)
        self._ready = False
        self.children += self._couriers()
        for child in self.children:
            child.terminate(self.settings.drain_timeout)

    # -- probes ---------------------------------------------------------------

    def _answer_probes(self, stack: ExitStack) -> None:
        """From here on, so that a start that takes long is not taken for a run that is dead."""
        if self.options.probes is None:
            return
        listener = stack.enter_context(listen_anywhere(*self.options.probes))
        paths = {"/healthz": _lives, "/readyz": self._say_readiness, "/metrics": _measures}
        probes = Probes(listener, paths, self._clock)
        probes.start()
        stack.callback(probes.close)
        self.announce(f"probes {address(listener)}")

    def _say_readiness(self) -> ProbeAnswer:
        """What the doors say, and of processes that are not up, which the doors do not know of. In another thread."""
        folder = self.directory.status
        found = state([*self._absent(), *reasons(folder, ())], folder)
        return ProbeAnswer(json.dumps(found).encode(), status=200 if found["ready"] else 503)

    def _absent(self) -> Iterator[dict[str, str]]:
        if self._draining:
            yield {"reason": "it is stopping"}
        for part in self._parts():
            if part and not any(reporting(self.directory, child.name, child.pid) for child in part):
                yield {"process": part[0].name, "reason": "it is not up yet"}

    # -- stop -----------------------------------------------------------------

    def _drain(self) -> None:
        """The gateway first: what it has accepted may still wait for an answer of the workers."""
        self._draining = True
        if self.listener is not None:
            self.listener.close()
        until, told = self._clock.monotonic() + self.settings.drain_timeout, self.signals.count
        for group in self._parts():
            for child in group:
                child.terminate(until - self._clock.monotonic())
            while any(child.alive for child in group):
                if self.signals.count > told:
                    log.warning("stopped at once; what was in hand is read again at the next start")
                    return
                self.signals.wait(0.05)
                for child in group:
                    child.ended()

    def _parts(self) -> tuple[list[Child], list[Child]]:
        """The gateway; the workers and the courier."""
        return [c for c in self.children if c.name == GATEWAY], [c for c in self.children if c.name != GATEWAY]

    def _kill(self) -> None:
        for child in self.children:
            child.kill()
            while child.alive:
                child.ended()
                self._clock.sleep(0.005)

    def _close(self) -> None:
        for outliving in self._outliving.values():
            os.close(outliving)


def _has_subscriptions(plan: Path | None) -> bool:
    """As the check left it beside the plan, which this process does not read."""
    return plan is not None and plan.with_suffix(".subscriptions").exists()


def _has_webhooks(plan: Path | None) -> bool:
    return plan is not None and plan.with_suffix(".webhooks").exists()


def _lives() -> ProbeAnswer:
    return ProbeAnswer(b'{"status":"ok"}')


def _measures() -> ProbeAnswer:
    return ProbeAnswer(exposition(), CONTENT_TYPE)


def killed_by(number: int) -> str:
    name = {each.value: each.name for each in signal.Signals}.get(number, f"signal {number}")
    return f"it was killed by {name}" + (", perhaps for want of memory" if name == "SIGKILL" else "")


def ended(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
