"""A way into Event Hubs without a connection string: tokens, fetched from the machine and shown to the brokers."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import pytest
from tests.brokers.cluster import SASL_TLS, Cluster
from tests.brokers.identity import CLIENT_ID, HEADER, IdentityEndpoint, given, identity_endpoint, token, tokens
from tests.brokers.tls import Authority

from penstock.batch import TopicSpec
from penstock.clock import ManualClock, SystemClock
from penstock.errors import AccessRefused, CannotStart, LogUnreachable
from penstock.log.interface import Advance, Reader
from penstock.log.kafka.cluster import client, managed_identity
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.cluster.connect import reach
from penstock.log.kafka.cluster.connection_errors import ConnectionErrors
from penstock.log.kafka.cluster.managed_identity import ANSWER_BYTES, ManagedIdentity, Token
from penstock.log.kafka.log import KafkaLog
from penstock.settings import Settings
from penstock.testing.log_contract import NUMBERS, write

URL = f"kafka+eventhubs://flights/app?identity={CLIENT_ID}"
HERE = {"IDENTITY_ENDPOINT": "http://127.0.0.1:1/msi/token", "IDENTITY_HEADER": HEADER}
PATIENCE = 60.0


# -- the address --------------------------------------------------------------


def test_an_identity_takes_the_connection_strings_place() -> None:
    address = Address.parse(URL, HERE)
    assert address.brokers == "flights.servicebus.windows.net:9093" and not address.transactional
    assert address.client["security.protocol"] == "sasl_ssl" and address.client["sasl.mechanism"] == "OAUTHBEARER"
    assert address.identity is not None and address.identity.client_id == CLIENT_ID
    assert not any("password" in name for name in address.client)
    assert HEADER not in repr(address)


def test_where_there_is_a_connection_string_there_is_no_identity() -> None:
    string = "Endpoint=sb://flights.servicebus.windows.net/;SharedAccessKeyName=a;SharedAccessKey=b"
    address = Address.parse("kafka+eventhubs://flights", {"EVENTHUBS_CONNECTION_STRING": string, **HERE})
    assert address.identity is None and address.client["sasl.mechanism"] == "PLAIN"


@pytest.mark.parametrize(
    ("url", "environ", "says"),
    [
        (f"kafka://a?identity={CLIENT_ID}", HERE, "identity is a way into Event Hubs alone"),
        ("kafka+eventhubs://a?identity=penstock", HERE, "identity=penstock is no client id of a managed identity"),
        (URL, {}, "no identity endpoint here: IDENTITY_ENDPOINT and IDENTITY_HEADER are not set"),
        (URL, HERE | {"IDENTITY_ENDPOINT": ""}, "IDENTITY_ENDPOINT is not set, as Azure's Container Apps"),
        (URL, HERE | {"IDENTITY_HEADER": ""}, "IDENTITY_HEADER is not set"),
        (URL, {}, "outside Azure leave identity= out and use EVENTHUBS_CONNECTION_STRING"),
        (URL, HERE | {"IDENTITY_ENDPOINT": "169.254.169.254/token"}, "IDENTITY_ENDPOINT is no http:// or https:// URL"),
        (URL, HERE | {"IDENTITY_ENDPOINT": "http://[::1/token"}, "IDENTITY_ENDPOINT is no http:// or https:// URL"),
        (URL, HERE | {"IDENTITY_HEADER": f"{HEADER}\r\nx: y"}, "IDENTITY_HEADER cannot be a header"),
        (f"{URL}&mechanism=PLAIN", HERE, "leaves no choice of mechanism"),
    ],
)
def test_an_identity_that_cannot_be_is_told(url: str, environ: dict[str, str], says: str) -> None:
    with pytest.raises(CannotStart) as error:
        Address.parse(url, environ)
    assert says in str(error.value) and HEADER not in str(error.value)


# -- the token ----------------------------------------------------------------


def identity_at(url: str, clock: ManualClock | None = None) -> ManagedIdentity:
    heard = ConnectionErrors()
    return ManagedIdentity(url, HEADER, "https://flights.servicebus.windows.net", CLIENT_ID, heard, clock)


def test_a_token_is_asked_for_as_azure_documents_it() -> None:
    with identity_endpoint(lambda: given("a.b.c", 3_600)) as endpoint:
        found = identity_at(endpoint.url).token()
    assert found.value == "a.b.c" and 3_500 < found.expires - time.time() <= 3_600
    assert endpoint.asked == [
        {
            "api-version": "2019-08-01",
            "resource": "https://flights.servicebus.windows.net",
            "client_id": CLIENT_ID,
            "secret": HEADER,
        }
    ]
    assert "a.b.c" not in repr(found)


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with identity_endpoint(tokens()) as endpoint:
        assert identity_at(endpoint.url).token().value


JUNK: dict[str, tuple[int, bytes, type[Exception], str]] = {
    "404": (404, b"", LogUnreachable, "gives no token (HTTP 404)"),
    "500": (500, b"oh\n no", LogUnreachable, "gives no token (HTTP 500: oh no)"),
    "an identity that is not assigned": (400, b"No such identity", AccessRefused, "HTTP 400: No such identity"),
    "a secret that is refused": (401, HEADER.encode(), AccessRefused, f"refuses a token of {CLIENT_ID} (HTTP 401: …)"),
    "elsewhere": (302, b"", LogUnreachable, "gives no token (HTTP 302)"),
    "no JSON": (200, b"<html>", LogUnreachable, "not with access_token and expires_on"),
    "a list": (200, b"[]", LogUnreachable, "not with access_token and expires_on"),
    "depths": (200, b"[" * 60_000, LogUnreachable, "not with access_token and expires_on"),
    "nothing": (200, b"", LogUnreachable, "not with access_token and expires_on"),
    "no token": (200, b'{"expires_on": "4102444800"}', LogUnreachable, "not with access_token and expires_on"),
    "no expires_on": (200, b'{"access_token": "t"}', LogUnreachable, "not with access_token and expires_on"),
    "a date": (200, b'{"access_token": "t", "expires_on": "9/14/2027"}', LogUnreachable, "not with access_token"),
    "a huge time": (200, b'{"access_token": "t", "expires_on": 1e999}', LogUnreachable, "something that is no token"),
    "two lines": (200, b'{"access_token": "a\\nb", "expires_on": 4e9}', LogUnreachable, "something that is no token"),
    "expired": (*given("a.b.c", -60), LogUnreachable, "gives a token that has expired; is this machine's clock right?"),
    "huge": (200, b" " * (ANSWER_BYTES + 1), LogUnreachable, "answers without end"),
}


@pytest.mark.parametrize("junk", JUNK)
def test_an_answer_without_a_token_is_told(junk: str, caplog: pytest.LogCaptureFixture) -> None:
    status, body, kind, says = JUNK[junk]
    with identity_endpoint(lambda: (status, body)) as endpoint:
        identity = identity_at(endpoint.url)
        with caplog.at_level(logging.DEBUG), pytest.raises(LogUnreachable) as error:
            identity.token()
    assert type(error.value) is kind and says in str(error.value)
    assert len(endpoint.asked) == 1, "it was followed elsewhere, and the secret with it"
    assert HEADER not in "".join(traceback.format_exception(error.value)) + caplog.text
    assert says in identity._heard.reason


@contextmanager
def speaking(say: Callable[[socket.socket], None]) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    say(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/token"


def drip(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def test_an_endpoint_that_says_nothing_or_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managed_identity, "ANSWER_S", 0.3)
    ends = threading.Event()
    cases: list[tuple[Callable[[socket.socket], Any], str]] = [
        (lambda _: ends.wait(PATIENCE), "does not answer: timed out"),
        (lambda c: c.sendall(b"SSH-2.0\r\n"), "does not answer"),
        (lambda _: None, "does not answer"),
        (drip, "answers without end"),
    ]
    for say, says in cases:
        with speaking(say) as url, pytest.raises(LogUnreachable, match=says):
            identity_at(url).token()
    ends.set()
    with pytest.raises(LogUnreachable, match=r"does not answer.*refused"):
        identity_at("http://127.0.0.1:1/token").token()


class Numbered(ManagedIdentity):
    """Tokens ``t1``, ``t2`` and so on of an hour each, until ``away``; the endpoint is not asked."""

    given, away = 0, False

    def _asked(self, now: float) -> Token:
        if self.away:
            raise LogUnreachable("away")
        self.given += 1
        return Token(f"t{self.given}", now + 3_600, 3_600)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def numbered(clock: ManualClock) -> Numbered:
    return Numbered("", HEADER, "", CLIENT_ID, ConnectionErrors(), clock)


def test_all_clients_share_a_token_until_half_of_its_time_is_over(numbered: Numbered, clock: ManualClock) -> None:
    one, other = numbered.callback(), numbered.callback()
    assert one("") == other("") == ("t1", clock.now() / 1e6 + 3_600)
    clock.advance(1_799)
    assert one("")[0] == "t1"
    clock.advance(1)
    assert one("") == other("") == ("t2", clock.now() / 1e6 + 3_600)


def check_outage(numbered: Numbered, clock: ManualClock) -> None:
    """An endpoint that is away for longer than a token lasts, under a client that runs and one that is made anew."""
    client = numbered.callback()
    began = clock.now() / 1e6
    numbered.away = True
    clock.advance(3_590)
    assert client("") == ("t1", began + 3_600), "a token that holds is not shown"
    assert numbered.callback()("") == ("t1", began + 3_600)
    assert numbered._heard.reason == ""
    clock.advance(11)
    value, until = client("")  # librdkafka takes none whose time is over, and then ends who polls
    assert value == "t1" and until > clock.now() / 1e6, "nothing is shown, and the client ends"
    assert numbered._heard.reason == "away" and numbered._heard.refusal == ""
    with pytest.raises(LogUnreachable, match="away"):
        numbered.callback()
    numbered.away = False
    assert client("")[0] == "t2" and numbered._heard.reason == ""


def test_an_endpoint_that_is_away_ends_no_client(numbered: Numbered, clock: ManualClock) -> None:
    check_outage(numbered, clock)


def test_mutant_a_callback_that_raises_is_caught(
    numbered: Numbered, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bare(identity: ManagedIdentity) -> Callable[[str], tuple[str, float]]:
        def answer(_config: str) -> tuple[str, float]:
            found = identity.token()
            return found.value, found.expires

        return answer

    monkeypatch.setattr(ManagedIdentity, "callback", bare)
    with pytest.raises(LogUnreachable, match="away"):
        check_outage(numbered, clock)


def test_it_is_asked_again_soon_where_it_was_away(numbered: Numbered, clock: ManualClock) -> None:
    client = numbered.callback()
    numbered.away = True
    clock.advance(2_000)
    assert client("") == ("t1", clock.now() / 1e6 + managed_identity.AGAIN_S)


def test_another_process_asks_for_its_own() -> None:
    with identity_endpoint(tokens()) as endpoint:
        address = Address.parse(URL, endpoint.environ)
        assert address.identity is not None
        mine = address.identity.token()
        twin: Address = pickle.loads(pickle.dumps(address))
        assert twin.identity is not None and twin.identity.token() != mine
        assert twin.identity._heard is twin.heard, "what it lacks is told to nobody"
    assert len(endpoint.asked) == 2


def test_what_is_lacking_goes_before_what_brokers_say() -> None:
    heard = ConnectionErrors()
    heard.lack("no token")
    heard.say("FAIL [rdkafka#producer-1] [thrd:a:1]: a:1: Connection refused (after 0ms in state CONNECT)")
    heard.clear()
    assert heard.reason == "no token"
    heard.lack("")
    assert heard.reason == ""


# -- brokers ------------------------------------------------------------------

SETTINGS = Settings(member_timeout=6.0, poll_interval=0.1)


def on(hub: Cluster, certificates: Authority, endpoint: IdentityEndpoint, prefix: str = "", more: str = "") -> Address:
    where = f"{hub.address(SASL_TLS)}/{prefix.rstrip('.')}"
    return Address.parse(
        f"kafka+eventhubs://{where}?ca={certificates.certificate}&identity={CLIENT_ID}{more}", endpoint.environ
    )


def pass_on(reader: Reader, rounds: int, log: KafkaLog) -> None:
    """What was appended comes out, and is committed with a copy."""
    for number in range(rounds):
        log.append([write([number]), write([number], partition=1)])
        seen, until = 0, time.monotonic() + PATIENCE
        while seen < 2:
            assert time.monotonic() < until, "nothing comes out"
            for batch in reader.read(100, 0.5):
                reader.commit([Advance("t", batch.partition, batch.through)], [write([number], "out")])
                seen += len(batch)


def use(log: KafkaLog, seconds: float) -> None:
    """Each of the log's clients asks again and again: whoever's connection the brokers end first tells of it."""
    for name in ("t", "out"):
        log.create(TopicSpec(name, NUMBERS, 2, encoding="json"))
    with closing(log.reader("g", ["t"], "m")) as reader:
        pass_on(reader, 1, log)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass_on(reader, 1, log)
            assert [s.lag_events for s in log.groups() if s.group == "g"] == [0, 0]
            time.sleep(0.2)


def check_tokens_that_end(hub: Cluster, certificates: Authority, prefix: str) -> None:
    """A log that is used for longer than its first tokens hold."""
    lives = 8.0
    with identity_endpoint(tokens(lives)) as endpoint:
        address = on(hub, certificates, endpoint, prefix)
        with closing(KafkaLog(address, settings=SETTINGS)) as log:
            try:
                use(log, 2 * lives)
            except LogUnreachable as error:
                raise AssertionError(f"it ended with its first tokens: {error}") from error
            assert address.heard.reason == ""
        assert len({json.dumps(query) for query in endpoint.asked}) == 1 and len(endpoint.asked) > 2
        assert endpoint.asked[0]["resource"] == "https://127.0.0.1"


def test_a_log_goes_on_with_new_tokens(hub: Cluster, certificates: Authority, prefix: str) -> None:
    check_tokens_that_end(hub, certificates, prefix)


def test_mutant_the_first_token_for_ever_is_caught(
    hub: Cluster, certificates: Authority, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ManagedIdentity._asked

    def once(identity: ManagedIdentity, now: float) -> Token:
        found = plain(identity, now) if identity._token is None else identity._token
        return Token(found.value, now + 3_600, 3_600)

    monkeypatch.setattr(ManagedIdentity, "_asked", once)
    monkeypatch.setattr("penstock.log.kafka.produce.transactions.DELIVERY_S", 5.0)
    with pytest.raises(AssertionError, match=r"ended with its first tokens|nothing comes out"):
        check_tokens_that_end(hub, certificates, prefix)


def test_an_endpoint_that_comes_late_is_waited_for(
    hub: Cluster, certificates: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([(503, b"starting"), (404, b"")])
    with identity_endpoint(lambda: next(answers, None) or tokens()()) as endpoint:
        reach(on(hub, certificates, endpoint), SystemClock())
    assert len(endpoint.asked) == 3


def test_an_endpoint_that_stays_away_is_told(hub: Cluster, certificates: Authority) -> None:
    with identity_endpoint(lambda: (503, b"starting")) as endpoint, pytest.raises(LogUnreachable) as error:
        reach(on(hub, certificates, endpoint, more="&wait=1"), SystemClock())
    assert "within 1 s: the identity endpoint gives no token (HTTP 503: starting)" in str(error.value)
    assert "leave identity= out and use EVENTHUBS_CONNECTION_STRING" in str(error.value)


def test_an_identity_that_this_container_lacks_ends_the_start(hub: Cluster, certificates: Authority) -> None:
    with identity_endpoint(lambda: (400, b"not found")) as endpoint, pytest.raises(AccessRefused, match="HTTP 400"):
        reach(on(hub, certificates, endpoint, more="&wait=600"), SystemClock())


def test_an_identity_without_a_right_is_told(
    hub: Cluster, certificates: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """As the brokers say it of a token that they do not take."""
    foreign = token("somebody", -2)
    with (
        identity_endpoint(lambda: given(foreign, 3_600)) as endpoint,
        caplog.at_level(logging.DEBUG),
        pytest.raises(AccessRefused) as error,
    ):
        reach(on(hub, certificates, endpoint, more="&wait=600"), SystemClock())
    assert f"has the managed identity {CLIENT_ID} the roles Azure Event Hubs Data Sender" in str(error.value)
    shown = caplog.text + "".join(map(str, map(vars, caplog.records)))
    shown += "".join(traceback.format_exception(error.value))
    assert foreign not in shown and HEADER not in shown


def test_every_client_has_tokens() -> None:
    """Those that are never polled too."""
    with identity_endpoint(tokens()) as endpoint:
        address = Address.parse(URL, endpoint.environ)
        assert callable(client.quiet(address)["oauth_cb"]) and callable(client.configuration(address)["oauth_cb"])
