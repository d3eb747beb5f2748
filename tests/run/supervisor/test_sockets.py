import socket

import pytest

from penstock.errors import CannotStart, DeclarationError
from penstock.gateway.tls.certificates import TLSFiles
from penstock.run.supervisor import sockets
from penstock.run.supervisor.sockets import address, listen, listen_anywhere, parsed


def test_port_0_takes_a_free_one() -> None:
    with listen("127.0.0.1", 0) as first, listen("localhost", 0) as second:
        assert address(first).startswith("http://127.0.0.1:") and address(first) != address(second)
        assert first.getsockname()[1] != 0


def test_ipv6_loopback() -> None:
    try:
        sock = listen("::1", 0)
    except CannotStart:
        pytest.skip("no IPv6 here")
    with sock:
        assert address(sock).startswith("http://[::1]:")


def test_a_port_in_use_is_said_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} .* in use .*--port 0"):
            listen("127.0.0.1", port)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "10.0.0.1", "169.254.169.254", "::ffff:0.0.0.0"])
def test_another_address_is_refused_without_authentication(host: str) -> None:
    with pytest.raises(DeclarationError, match="without authentication"):
        listen(host, 0)


class Nowhere(socket.socket):
    """Binds nothing, whatever it is told."""

    def bind(self, address: object) -> None: ...

    def listen(self, backlog: int = 0) -> None:
        self.close()


def test_an_address_that_is_not_looked_at_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "check_bind", lambda host, access: None)
    monkeypatch.setattr(socket, "socket", Nowhere)
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        test_another_address_is_refused_without_authentication("192.0.2.7")


@pytest.mark.parametrize(
    ("host", "port"), [("example.org", 0), ("", 0), ("127.0.0.1 ", 0), ("127.0.0.1", 65_536), ("127.0.0.1", -1)]
)
def test_what_is_no_address_is_refused(host: str, port: int) -> None:
    with pytest.raises(CannotStart):
        listen(host, port)


@pytest.mark.parametrize(
    ("place", "parts"),
    [("127.0.0.1:8081", ("127.0.0.1", 8081)), ("[::]:0", ("::", 0)), ("localhost:1", ("localhost", 1))],
)
def test_a_place_is_a_host_and_a_port(place: str, parts: tuple[str, int]) -> None:
    assert parsed(place, "--probes") == parts


@pytest.mark.parametrize("place", ["8081", ":8081", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:-1"])
def test_what_is_no_place_is_refused_with_one_that_is(place: str) -> None:
    with pytest.raises(CannotStart, match=r"--probes .* is no HOST:PORT; such as 127.0.0.1:8081"):
        parsed(place, "--probes")


def test_probes_may_be_anywhere() -> None:
    with listen_anywhere("0.0.0.0", 0) as sock:
        assert address(sock).startswith("http://0.0.0.0:")
        port = sock.getsockname()[1]
        with pytest.raises(CannotStart, match=r"give another with --probes 0.0.0.0:N, any with --probes 0.0.0.0:0"):
            listen_anywhere("0.0.0.0", port)
    with pytest.raises(CannotStart, match=r"--probes example.org is not an IP address"):
        listen_anywhere("example.org", 0)


@pytest.mark.parametrize(
    ("names", "host"),
    [
        (("127.0.0.1", "localhost"), "127.0.0.1"),
        (("localhost", "shop.example"), "localhost"),
        (("shop.example",), "127.0.0.1"),
        ((), "127.0.0.1"),
    ],
)
def test_with_tls_by_a_name_that_the_certificate_has(names: tuple[str, ...], host: str) -> None:
    with listen("127.0.0.1", 0) as sock:
        assert address(sock, names) == f"https://{host}:{sock.getsockname()[1]}"


@pytest.mark.parametrize(
    ("files", "names", "why"),
    [
        (("a.pem",), ("127.0.0.1",), ""),
        (("a.pem",), ("shop.example", "localhost"), ""),
        (("a.pem",), ("shop.example",), "the certificate is for shop.example: add localhost to it"),
        (("a.pem", "", "ca.pem"), ("localhost",), "--tls-clients required asks everybody for one"),
        (("a.pem", "", "ca.pem", "optional"), ("localhost",), ""),
    ],
)
def test_webhooks_that_cannot_be_caught_are_told(files: tuple[str, ...], names: tuple[str, ...], why: str) -> None:
    tls = TLSFiles.given(*files)
    assert tls is not None
    said = sockets.uncaught(tls, names)
    assert said.endswith(why) and bool(said) == bool(why)
