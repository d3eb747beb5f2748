"""The issuer's keys that are in force, kept fresh by a thread of their own: nobody else ever waits for the network."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Event, Lock, Thread

from ...clock import Clock
from ...errors import IssuerUnusable
from ...notices import notices
from ...telemetry import logger
from .fetching import fetch_key_set
from .issuer import Issuer
from .key_set import PublicKeys, read_key_set

PERIOD_S = 600.0  # seconds from one fetch to the next, where nobody asks for one
RETRY_S = 60.0  # seconds, where one has failed
GAP_S = 10.0  # seconds at least between two, whoever asks and however often
KEEP_S = 86_400.0  # seconds that keys stay in force while the issuer cannot be asked
NOTICE = "oidc"
NONE = PublicKeys()

log = logger(__name__)


class IssuerKeys:
    """For any thread. The set in force is replaced as a whole, and by another object only where it differs: what was
    decided by one set holds as long as ``in_force`` is the very same."""

    def __init__(self, issuer: Issuer, clock: Clock) -> None:
        self._issuer, self._clock = issuer, clock
        self._wake = Event()
        self._thread = Thread(target=self._run, name="oidc-keys", daemon=True)
        self._lock = Lock()  # over what follows
        self._keys = NONE
        self._fetched_at = 0.0
        self._begun_at: float | None = None
        self._due_at = clock.monotonic()
        self._round: Future[None] | None = None  # what is under way, or about to be
        self._closed = False

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """A fetch that is under way is not waited for, but whoever waits for it is let go."""
        with self._lock:
            self._closed = True
        self._wake.set()
        self._end_round()

    def in_force(self) -> PublicKeys:
        """``NONE`` before the first fetch, and once the last one is longer ago than ``KEEP_S``."""
        with self._lock:
            return NONE if self._clock.monotonic() - self._fetched_at > KEEP_S else self._keys

    def ask(self) -> Future[None] | None:
        """A fetch, because a key is missing. What ends with it, by success or not; others may have asked for it before.
        None: the last one began less than ``GAP_S`` ago, and knows no better."""
        with self._lock:
            if self._round is None and not self._closed and self._may_begin():
                self._round = _new_round()
                self._wake.set()
            return self._round

    def refresh(self) -> None:
        """One fetch, on this thread. Raises nothing: what fails is told in the notices, and the old keys stay."""
        with self._lock:
            self._begun_at = self._clock.monotonic()
            self._round = self._round or _new_round()
        try:
            self._take(read_key_set(fetch_key_set(self._issuer)))
        except IssuerUnusable as error:
            self._keep(str(error))
        except Exception as error:  # a bug here, or a library's: the thread lives on, and it is told like the rest
            log.exception("the keys of the tokens' issuer could not be read")
            self._keep(f"{type(error).__name__}, see the log")
        finally:
            self._end_round()

    def _may_begin(self) -> bool:
        return self._begun_at is None or self._clock.monotonic() - self._begun_at >= GAP_S

    def _take(self, keys: PublicKeys) -> None:
        with self._lock:
            if keys.written != self._keys.written:
                self._keys = keys
            self._fetched_at = self._clock.monotonic()
            self._due_at = self._fetched_at + PERIOD_S
        notices().settle(NOTICE)

    def _keep(self, why: str) -> None:
        with self._lock:
            self._due_at = self._clock.monotonic() + RETRY_S
            if self._closed:
                return
        left = self.in_force() is not NONE
        stay = f"those of before stay for {KEEP_S / 3_600:g} hours" if left else "none of its tokens is admitted"
        notices().tell(
            NOTICE,
            f"the keys of the tokens' issuer {self._issuer.url} cannot be fetched, and {stay}: {why}",
            mend="see whether it can be reached from here, and PENSTOCK_OIDC_*; it is asked again every minute",
        )

    def _end_round(self) -> None:
        with self._lock:
            ended, self._round = self._round, None
        if ended is not None:
            ended.set_result(None)

    def _run(self) -> None:
        while True:
            with self._lock:
                left = max(0.0, self._due_at - self._clock.monotonic())
                now = self._round is not None or not left
                if self._closed:
                    return
            if now:
                self.refresh()
            else:
                self._wake.wait(left if self._clock.passes else None)
                self._wake.clear()


def _new_round() -> Future[None]:
    """Which none of those who wait for it can cancel for the others."""
    made = Future[None]()
    made.set_running_or_notify_cancel()
    return made
