"""Who is let in, who is not, and what is said: real handshakes with a broker that looks."""

from __future__ import annotations

import base64
import json
import logging
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pyarrow as pa
import pytest
from tests.brokers import jars
from tests.brokers.cluster import SASL, SASL_TLS, TLS, Cluster, running
from tests.brokers.fixtures import or_skip
from tests.brokers.node import PASSWORD, USER
from tests.brokers.tls import Authority, authority

from penstock.batch import TopicSpec, Write
from penstock.clock import SystemClock
from penstock.errors import AccessRefused, CannotStart, LogUnreachable
from penstock.log.interface import Advance, GroupState
from penstock.log.kafka.cluster.address import Address
from penstock.log.kafka.cluster.connect import reach
from penstock.log.kafka.cluster.connection_errors import ConnectionErrors
from penstock.log.kafka.log import KafkaLog
from penstock.testing.log_contract import NUMBERS, write

LOGIN = {"KAFKA_USER": USER, "KAFKA_PASSWORD": PASSWORD}
GUESS = "open-sesame"
WRONG = {"KAFKA_USER": USER, "KAFKA_PASSWORD": GUESS}
SECRETS = (PASSWORD, GUESS, "client-secret")
PATIENCE = 60
MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Deaf(ConnectionErrors):
    """Planted: a refusal is taken for a broker that is away."""

    @property
    def refusal(self) -> str:
        return ""


def refused(address: Address, caplog: pytest.LogCaptureFixture) -> str:
    """What is said of the refusal. Nothing that was written or raised meanwhile has a secret."""
    with caplog.at_level(logging.DEBUG), pytest.raises(AccessRefused) as error:
        reach(address, SystemClock())
    said = "".join(traceback.format_exception(error.value))
    shown = caplog.text + "".join(str(vars(record)) for record in caplog.records) + said
    assert not any(secret in shown for secret in SECRETS)
    return str(error.value)


def trusting(secured: Cluster, certificates: Authority, listener: str = SASL_TLS, more: str = "") -> str:
    kind = listener.lower()
    return f"kafka://{secured.address(listener)}?security={kind}&ca={certificates.certificate}{more}"


# -- users --------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("listener", [SASL, SASL_TLS])
def test_the_right_password_is_let_in(secured: Cluster, certificates: Authority, listener: str, mechanism: str) -> None:
    ca = f"&ca={certificates.certificate}" if listener == SASL_TLS else ""
    url = f"kafka://{secured.address(listener)}?security={listener.lower()}&mechanism={mechanism}{ca}"
    reach(Address.parse(url, LOGIN), SystemClock())


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_a_wrong_password_is_refused_and_not_tried_for_long(
    secured: Cluster, certificates: Authority, mechanism: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = trusting(secured, certificates, more=f"&mechanism={mechanism}&wait=600")
    said = refused(Address.parse(url, WRONG), caplog)
    assert "authentication" in said.lower() and secured.address(SASL_TLS) in said
    assert "are KAFKA_USER and KAFKA_PASSWORD right" in said


def test_mutant_a_wrong_password_that_is_taken_for_an_absence_is_caught(
    secured: Cluster, certificates: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    address = Address.parse(trusting(secured, certificates, more="&wait=2"), WRONG)
    with pytest.raises(LogUnreachable, match="has answered within 2 s"):
        refused(replace(address, heard=Deaf()), caplog)


def test_a_user_at_a_listener_that_asks_for_none(secured: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    address = Address.parse(f"kafka://{secured.bootstrap}?security=sasl_plaintext", LOGIN)
    assert "is security=sasl_plaintext what that listener expects?" in refused(address, caplog)


def test_everything_goes_through_tls_and_a_password(secured: Cluster, certificates: Authority, prefix: str) -> None:
    url = trusting(secured, certificates, more="&mechanism=SCRAM-SHA-512").replace("?", f"/{prefix[:-1]}?", 1)
    with closing(KafkaLog(Address.parse(url, LOGIN))) as log:
        rows = pa.RecordBatch.from_pydict({"json": ["1", "2"]}, schema=TopicSpec("in").schema)
        for topic in ("in", "out"):
            log.create(TopicSpec(topic, partitions=2))
        log.append([Write("in", 0, rows), Write("in", 1, rows)])
        reader = log.reader("group", ["in"], "member")
        seen: list[int] = []
        limit = time.monotonic() + PATIENCE
        while len(seen) < 2:
            assert time.monotonic() < limit, "nothing was read"
            for batch in reader.read(100, 0.5):
                reader.commit([Advance("in", batch.partition, batch.through)], [Write("out", 0, batch.rows)])
                seen.append(batch.partition)
        assert sorted(seen) == [0, 1]
        assert sum(state.events for state in log.partitions("out")) >= 4


# -- tokens -------------------------------------------------------------------


def token(subject: str, lives: float) -> str:
    """Unsigned, as the broker of the tests is told to take them."""
    parts = [{"alg": "none"}, {"sub": subject, "iat": time.time() - 5, "exp": time.time() + lives}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@contextmanager
def issuer(status: int = 200, lives: float = 300.0) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An issuer of tokens on loopback, and what it was asked: the credentials, and the body. ``lives``: seconds."""
    asked: list[tuple[str, str]] = []

    class Tokens(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            scheme, _, credentials = self.headers.get("Authorization", "").partition(" ")
            asked.append((base64.b64decode(credentials).decode() if scheme == "Basic" else "", body))
            answer = json.dumps({"access_token": token("app", lives), "token_type": "Bearer"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Tokens)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token", asked
    finally:
        server.shutdown()
        server.server_close()


def by_token(secured: Cluster, certificates: Authority, url: str, more: str = "") -> Address:
    environ = {
        "KAFKA_OAUTH_TOKEN_URL": url,
        "KAFKA_OAUTH_CLIENT_ID": "app",
        "KAFKA_OAUTH_CLIENT_SECRET": "client-secret",
        "KAFKA_OAUTH_SCOPE": "kafka",
    }
    return Address.parse(trusting(secured, certificates, more=f"&mechanism=OAUTHBEARER{more}"), environ)


def test_a_token_is_fetched_with_the_clients_credentials(secured: Cluster, certificates: Authority) -> None:
    with issuer() as (url, asked):
        reach(by_token(secured, certificates, url), SystemClock())
    assert asked and asked[0][0] == "app:client-secret"
    assert parse_qs(asked[0][1]) == {"grant_type": ["client_credentials"], "scope": ["kafka"]}


def states(log: KafkaLog) -> Sequence[GroupState]:
    """Asked again while a broker that has just begun lets go of connections, as whoever looks does."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return log.groups()
        except LogUnreachable:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


def test_tokens_that_have_expired_are_replaced_by_all_clients(
    secured: Cluster, certificates: Authority, prefix: str
) -> None:
    """Those that nobody polls among them, when they have to connect again."""
    with issuer(lives=3.0) as (url, asked):
        address = replace(by_token(secured, certificates, url), namespace=prefix)
        with closing(KafkaLog(address)) as log:
            log.create(TopicSpec("t", NUMBERS, 2, encoding="json"))

            def use() -> None:
                log.append([write([1])])
                log.append([write([1]), write([2], partition=1)])
                assert log.positions([("g", "t")]) == {("g", "t", 0): 0}
                assert [state.through for state in states(log) if state.partition == 0] == [0]

            with closing(log.reader("g", ["t"], "m")) as reader:
                log.append([write([1])])
                reader.read(1, 0)
                reader.commit([Advance("t", 0, 0)], [])
            use()
            secured.kill(1)
            first = len(asked)
            until = time.monotonic() + PATIENCE
            while len(asked) < first + 10:
                assert time.monotonic() < until, "nobody asks for another token"
                time.sleep(0.1)
            secured.start(1)
            use()


def test_an_issuer_that_refuses(secured: Cluster, certificates: Authority, caplog: pytest.LogCaptureFixture) -> None:
    with issuer(status=401) as (url, _):
        said = refused(by_token(secured, certificates, url, "&wait=600"), caplog)
    assert "token" in said and "are KAFKA_OAUTH_CLIENT_ID" in said


def test_an_issuer_that_is_away_is_waited_for(secured: Cluster, certificates: Authority) -> None:
    with pytest.raises(LogUnreachable, match=r"within 1 s.*token") as error:
        reach(by_token(secured, certificates, f"http://127.0.0.1:{closed_port()}/", "&wait=1"), SystemClock())
    assert not isinstance(error.value, AccessRefused)


# -- certificates -------------------------------------------------------------


@pytest.mark.parametrize("listener", [TLS, SASL_TLS])
def test_a_certificate_of_another_authority_is_refused(
    secured: Cluster, tmp_path: Path, listener: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = authority(tmp_path / "other")
    address = Address.parse(trusting(secured, other, listener, "&wait=600"), LOGIN)
    said = refused(address, caplog)
    assert f"the certificate of {secured.address(listener)} is refused: " in said
    assert f"does ca={other.certificate} hold the authority that signed it?" in said
    careless = replace(address, client={**address.client, "enable.ssl.certificate.verification": "false"})
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        refused(careless, caplog)


def test_without_an_authority_the_systems_are_asked(secured: Cluster, caplog: pytest.LogCaptureFixture) -> None:
    address = Address.parse(f"kafka://{secured.address(TLS)}?security=ssl&wait=600", {})
    assert "is refused: " in refused(address, caplog)


def test_a_certificate_for_another_name_is_refused(
    secured: Cluster, certificates: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with relay(secured.address(TLS), "127.0.0.2") as there:
        url = f"kafka://{there}?security=ssl&ca={certificates.certificate}&wait=600"
        address = Address.parse(url, {})
        said = refused(address, caplog)
        assert f"the certificate of {there} is refused: " in said and "127.0.0.2" in said
        assert "use a name that it is valid for" in said
        careless = replace(address, client={**address.client, "ssl.endpoint.identification.algorithm": "none"})
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            refused(careless, caplog)


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory, certificates: Authority) -> Iterator[Cluster]:
    """A broker that asks its clients for certificates of its own authority."""
    directory = tmp_path_factory.mktemp("asking")
    overrides = {
        "ssl.client.auth": "required",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(certificates.certificate),
    }
    with or_skip():
        jars.classpath()
    with running(directory, authority=certificates, overrides=overrides) as cluster:
        yield cluster


def test_a_client_shows_its_own_certificate(
    asking: Cluster, certificates: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = certificates.broker
    encrypted = tmp_path / "encrypted.key"
    command = ["openssl", "pkey", "-in", str(own.key), "-out", str(encrypted), "-aes256", "-passout"]
    subprocess.run([*command, f"pass:{PASSWORD}"], check=True, capture_output=True, timeout=60)
    url = trusting(asking, certificates, TLS, f"&cert={own.certificate}&key={encrypted}")
    reach(Address.parse(url, {"KAFKA_KEY_PASSWORD": PASSWORD}), SystemClock())
    said = refused(Address.parse(trusting(asking, certificates, TLS, "&wait=600"), {}), caplog)
    assert "are cert and key right?" in said
    with pytest.raises(CannotStart, match="key") as error:
        reach(Address.parse(url, {"KAFKA_KEY_PASSWORD": GUESS}), SystemClock())
    assert not any(secret in str(error.value) for secret in SECRETS)


def test_a_file_that_holds_no_certificates(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("nonsense")
    with pytest.raises(CannotStart, match=r"ssl\.ca\.location"):
        reach(Address.parse(f"kafka://127.0.0.1:1?security=ssl&ca={file}", {}), SystemClock())


# -- brokers that are not there -----------------------------------------------


def away(url: str) -> str:
    with pytest.raises(LogUnreachable) as error:
        reach(Address.parse(url, {}), SystemClock())
    assert not isinstance(error.value, AccessRefused)
    return str(error.value)


def test_no_broker_is_there() -> None:
    port = closed_port()
    said = away(f"kafka://127.0.0.1:{port}?wait=1")
    assert said.startswith(f"no broker at 127.0.0.1:{port} has answered within 1 s: ")
    assert "Connection refused" in said and "Do the brokers run" in said


def test_a_name_that_nobody_knows() -> None:
    name = "n" * 64  # longer than a name's part may be, so no name server is asked, and none can be slow
    assert f"Failed to resolve '{name}:9092'" in away(f"kafka://{name}?wait=1")


def test_something_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        said = away(f"kafka://127.0.0.1:{silent.getsockname()[1]}?wait=1")
    assert "nothing there answers. Does Kafka listen there, and is security=plaintext what it expects?" in said


def test_something_that_is_not_kafka() -> None:
    def serve(client: socket.socket) -> None:
        client.recv(100)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        client.close()

    with listening("127.0.0.1", serve) as there:
        said = away(f"kafka://{there}?wait=1")
    assert "Does Kafka listen there" in said


def test_a_listener_that_wants_tls(secured: Cluster) -> None:
    said = away(f"kafka://{secured.address(TLS)}?wait=1")
    assert "is security=plaintext what it expects?" in said


def test_one_of_several_is_enough(kafka: str) -> None:
    reach(Address.parse(f"kafka://127.0.0.1:{closed_port()},{kafka}", {}), SystemClock())


def come_late(kafka: str, caplog: pytest.LogCaptureFixture, connect: Callable[[Address], None]) -> None:
    """Brokers that come while they are waited for, after that was said."""
    port = closed_port()
    failed: list[BaseException] = []

    def waiting() -> None:
        try:
            connect(Address.parse(f"kafka://127.0.0.1:{port}?wait={PATIENCE}", {}))
        except LogUnreachable as error:
            failed.append(error)

    waiter = threading.Thread(target=waiting)
    with caplog.at_level(logging.WARNING):
        waiter.start()
        limit = time.monotonic() + PATIENCE
        while "the brokers do not answer yet" not in caplog.text and waiter.is_alive():
            assert time.monotonic() < limit
            time.sleep(0.05)
    with relay(kafka, "127.0.0.1", port):
        waiter.join(2 * PATIENCE)
        assert not waiter.is_alive(), "it does not see that they came"
        assert not failed, "it gave up before they came"


def test_brokers_that_come_late_are_waited_for(kafka: str, caplog: pytest.LogCaptureFixture) -> None:
    come_late(kafka, caplog, lambda address: reach(address, SystemClock()))


def test_mutant_who_does_not_wait_is_caught(kafka: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(AssertionError, match="gave up before they came"):
        come_late(kafka, caplog, lambda address: reach(replace(address, wait=0.1), SystemClock()))


@pytest.mark.parametrize("log", ["away", "refused"])
def test_the_command_line_ends_with_an_error(
    secured: Cluster, certificates: Authority, tmp_path: Path, log: str
) -> None:
    app = tmp_path / "app.py"
    app.write_text("import penstock as ps\napp = ps.App('t')\nnumbers = app.topic('numbers')\n")
    url = {
        "away": f"kafka://127.0.0.1:{closed_port()}?wait=1",
        "refused": trusting(secured, certificates),
    }[log]
    command = [sys.executable, "-m", "penstock", "run", str(app), "--log", url, "--data", str(tmp_path / "data")]
    done = subprocess.run(
        [*command, "--port", "0"],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **WRONG},
    )
    assert done.returncode not in (0, -9)
    assert {"away": "Connection refused", "refused": "are KAFKA_USER and KAFKA_PASSWORD right"}[log] in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(secret in done.stdout + done.stderr for secret in SECRETS)


# -- helpers ------------------------------------------------------------------


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def listening(host: str, serve: Callable[[socket.socket], None], port: int = 0) -> Iterator[str]:
    """A server on loopback with a thread a connection; its ``host:port``."""
    listener = socket.create_server((host, port))

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=one, args=(client,), daemon=True).start()

    def one(client: socket.socket) -> None:
        with client, suppress(OSError):
            serve(client)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"{host}:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@contextmanager
def relay(target: str, host: str, port: int = 0) -> Iterator[str]:
    """The same broker by another address."""
    there, _, number = target.partition(":")

    def carry(client: socket.socket) -> None:
        with socket.create_connection((there, int(number))) as upstream:
            back = threading.Thread(target=pour, args=(upstream, client), daemon=True)
            back.start()
            pour(client, upstream)
            back.join(PATIENCE)

    def pour(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    with listening(host, carry, port) as address:
        yield address
