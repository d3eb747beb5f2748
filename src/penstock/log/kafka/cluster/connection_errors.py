"""What librdkafka says of its connections.

It goes on trying whatever the reason, and a call that waits for a broker ends with "timed out". Why is told beside it:
to a callback with a code, and in lines for a log.
"""

from __future__ import annotations

import logging
import re
import threading

from confluent_kafka import KafkaError

from ....telemetry import logger

_log = logger(__name__)
_REFUSED = {KafkaError._AUTHENTICATION, KafkaError._SSL}
_UNDECIDED = {KafkaError._ALL_BROKERS_DOWN}  # says how many, and no reason
# A token's issuer that is away and a TLS connection that was cut may be well again the next time.
_MAY_PASS = re.compile(r"(?i)failed to connect|could(n't| not) (connect|resolve)|timed? ?out|disconnected|\(5\d\d\)")
# What a broker says of a client's certificate, and of there being none, comes as the end of a connection.
OF_THE_CLIENT = re.compile(r"SSL alert number (4[2-9]|116)\b")
_FAILED = re.compile(r"FAIL \[.*?\] \[thrd:.*?\]: (.*)", re.S)
_AFTER = re.compile(r" \(after \d+ms in state (\w+).*", re.S)


class ConnectionErrors:
    """The last reason. ``refusal``: of one that trying again does not mend. Told by librdkafka's callbacks.

    ``lacking``: why there are no credentials to show, which brokers cannot know; it goes before what they say.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._reason, self._refused = "", False
        self.lacking = ""

    def note(self, error: KafkaError) -> None:
        """An ``error_cb``."""
        if error.code() in _UNDECIDED:
            return
        text = _plain(error.str())
        with self._mutex:
            self._reason = text
            self._refused = _certainly(text) or (error.code() in _REFUSED and _MAY_PASS.search(text) is None)

    def say(self, line: str) -> None:
        """A line of librdkafka's log. What has a code comes to ``note`` as well, at its own time."""
        found = _FAILED.match(line)
        if found is None:
            return
        with self._mutex:
            if not self._refused:
                self._reason = _plain(found[1])
                self._refused = _certainly(found[1])

    def lack(self, reason: str) -> None:
        """Empty: there are credentials again."""
        self.lacking = reason

    def clear(self) -> None:
        """A broker has answered."""
        with self._mutex:
            self._reason, self._refused = "", False

    @property
    def reason(self) -> str:
        return self.lacking or self._reason

    @property
    def refusal(self) -> str:
        return self._reason if self._refused and not self.lacking else ""

    def __reduce__(self) -> tuple[type[ConnectionErrors], tuple[()]]:
        """Another process has connections of its own."""
        return ConnectionErrors, ()


class Lines(logging.Handler):
    """librdkafka tells of each lost connection many times; what matters comes back as an error of the call."""

    def __init__(self, heard: ConnectionErrors) -> None:
        super().__init__()
        self._heard = heard

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        self._heard.say(said)
        _log.debug("librdkafka", said=said)


def _certainly(text: str) -> bool:
    return OF_THE_CLIENT.search(text) is not None


def _plain(text: str) -> str:
    """Without how many milliseconds it took, and the name of a thread."""
    return _AFTER.sub(r" (\1)", text).replace("/bootstrap:", ":").strip()
