"""Nothing internal is reached, whatever the URL spells and the name says (S6)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pycurl
import pytest
from tests.destinations.webhook.conftest import lane_to, local, with_option
from tests.destinations.webhook.receivers import OK, Receiver, answering, deliver, parcel, receiving, status

from penstock.destinations.webhook.addresses import refusal
from penstock.destinations.webhook.courier import Courier
from penstock.destinations.webhook.endpoint import Endpoint
from penstock.destinations.webhook.transport import Exchange
from penstock.errors import DeclarationError

HERE = [
    "127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "127.255.255.254", "0x7f.1", "0x7f.0x0.0x0.0x1",
    "0x7f000001", "0X7F000001", "2130706433", "017700000001", "0177.0.0.01", "0177.1", "0", "0.0.0.0", "0x0", "00",
    "000.000.000.000", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "a.localhost",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[::0001]", "[::]", "[0:0:0:0:0:0:0:0]", "[::127.0.0.1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:7f00:0001]", "[::FFFF:127.0.0.1]",
]  # fmt: skip
ELSEWHERE = [
    "10.0.0.1", "10.1", "0xa.1", "167772161", "172.16.0.1", "172.31.255.254", "192.168.0.1", "192.168.1",
    "0xc0.0xa8.1", "3232235521", "100.64.0.1", "100.100.100.200",
    "169.254.169.254", "169.254.43518", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "2852039166", "0251.0376.0251.0376",
    "0251.0376.43518", "169.254.0xa9fe", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]", "[2002:a9fe:a9fe::1]", "[2001:0:a9fe:a9fe::1]", "[::a9fe:a9fe]",
    "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[ff02::1]", "[fec0::1]",
    "192.0.0.192", "192.0.0.1", "168.63.129.16", "224.0.0.1", "255.255.255.255", "198.18.0.1", "0.1.2.3",
]  # fmt: skip
SPELLINGS = HERE + ELSEWHERE
NO_WEBHOOKS = [
    "file:///etc/passwd", "gopher://127.0.0.1:{port}/_x", "ftp://127.0.0.1:{port}/", "dict://127.0.0.1:{port}/",
    "ws://127.0.0.1:{port}/", "//127.0.0.1:{port}/", "127.0.0.1:{port}/", "", "http://", "http:///x", "https://:443/",
    "http://user@127.0.0.1:{port}/", "https://u:p@example.com/", "https://example.com@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}\\@example.com/", "https://example.com:0/", "https://example.com:99999/",
    "https://example.com/ x", "https://exa\tmple.com/", "https://example.com/\r\nhost: x", "https://①②⑦.⓪.⓪.①/",
    "https://ⓛocalhost/", "https://[::1/", "http://example.com/", "https://%31%32%37.0.0.1/",
]  # fmt: skip


def unchecked(url: str) -> Endpoint:
    """As if the look at what is written had been passed over."""
    endpoint = Endpoint("https://example.com/")
    object.__setattr__(endpoint, "url", url)
    return endpoint


@contextmanager
def listening() -> Iterator[Receiver]:
    """On every address of this machine."""
    with receiving(answering(OK), address="::") as receiver:  # of IPv4 too
        yield receiver


def connections(couriers: Callable[..., Courier], spellings: list[str]) -> int:
    """How many connections a listener on all addresses here sees."""
    courier = couriers()
    with listening() as receiver:
        for host in spellings:
            deliver(courier.open(unchecked(f"http://{host}:{receiver.port}/")), [parcel()])
        return receiver.connections


def test_there_are_spellings_enough() -> None:
    assert len(set(SPELLINGS)) >= 60


@pytest.mark.parametrize("host", SPELLINGS)
def test_an_internal_address_is_refused_where_it_is_declared(host: str) -> None:
    with pytest.raises(DeclarationError):
        Endpoint(f"https://{host}/")


@pytest.mark.parametrize("url", NO_WEBHOOKS)
def test_what_is_no_webhook_is_refused_where_it_is_declared(url: str) -> None:
    with pytest.raises(DeclarationError):
        Endpoint(url.format(port=8080))


def test_no_spelling_of_an_internal_address_is_connected(couriers: Callable[..., Courier]) -> None:
    assert connections(couriers, SPELLINGS) == 0


def no_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: the names were checked before, so nobody looks at what is connected."""
    monkeypatch.setattr(Exchange, "_open", lambda _self, _purpose, target: socket.socket(*target[:3]))
    monkeypatch.setattr(Exchange, "_connected", lambda *_: pycurl.PREREQFUNC_OK)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_mutant_that_does_not_look_at_the_address_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_look(monkeypatch)
    with pytest.raises(AssertionError, match=r"assert [1-9]\d* == 0"):
        assert connections(couriers, ["127.0.0.1", "127.1", "localhost"]) == 0


def rebound(couriers: Callable[..., Courier]) -> int:
    """Connections to here, where the name said something public as long as it was checked."""
    answers = iter([["93.184.215.14"], ["127.0.0.1"]])

    def resolver(_host: str) -> list[str]:
        return next(answers)

    courier = couriers(resolver=resolver)
    with receiving(answering(OK)) as receiver:
        lane = courier.open(Endpoint(f"http://rebind.example:{receiver.port}/", allow_http=True))
        assert refusal(resolver("rebind.example")[0], False) == ""
        [answer] = deliver(lane, [parcel()])
        assert answer.ok or (answer.outcome == "ResolutionError" and "127.0.0.1 is an internal" in answer.reason)
        return receiver.connections


def test_a_name_that_leads_elsewhere_later_is_not_connected(couriers: Callable[..., Courier]) -> None:
    assert rebound(couriers) == 0


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_mutant_that_checks_the_name_and_connects_by_name_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_look(monkeypatch)
    with pytest.raises(AssertionError, match="assert 1 == 0"):
        assert rebound(couriers) == 0


def test_metadata_is_not_connected_where_private_networks_are_allowed(courier: Courier) -> None:
    endpoint = local("http://127.0.0.1:80/")
    object.__setattr__(endpoint, "url", "http://169.254.169.254/latest/meta-data/")
    [answer] = deliver(courier.open(endpoint), [parcel()])
    assert (answer.outcome, "credentials" in answer.reason) == ("ResolutionError", True)


def shared(couriers: Callable[..., Courier]) -> int:
    """Requests that came: one of a lane that may go inside, and by its kept connection one of a lane that may not."""
    courier = couriers(resolver=lambda _host: ["127.0.0.1"])
    with receiving(answering(OK)) as receiver:
        url = f"http://both.example:{receiver.port}/"
        assert deliver(courier.open(Endpoint(url, allow_http=True, allow_private=True)), [parcel()])[0].ok
        deliver(courier.open(Endpoint(url, allow_http=True)), [parcel()])
        return len(receiver.requests)


def test_a_kept_connection_is_not_for_a_lane_that_may_not_go_there(couriers: Callable[..., Courier]) -> None:
    assert shared(couriers) == 1


def test_mutant_that_looks_at_new_connections_only_is_caught(
    couriers: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Exchange, "_connected", lambda *_: pycurl.PREREQFUNC_OK)
    with pytest.raises(AssertionError, match="assert 2 == 1"):
        assert shared(couriers) == 1


def test_a_kept_connection_is_for_its_host_only(couriers: Callable[..., Courier]) -> None:
    courier = couriers(resolver=lambda _host: ["127.0.0.1"])
    with receiving(answering(OK)) as receiver:
        for host in ("a.example", "a.example", "b.example"):
            assert deliver(lane_to(courier, f"http://{host}:{receiver.port}/"), [parcel()])[0].ok
        assert receiver.connections == 2
        assert [request.headers["host"].partition(":")[0] for request in receiver.requests] == [
            "a.example", "a.example", "b.example",
        ]  # fmt: skip


def redirected(courier: Courier) -> int:
    with receiving(answering(OK)) as inside:
        moved = status(307, f"location: http://127.0.0.1:{inside.port}/", "set-cookie: a=b")
        with receiving(answering(moved)) as receiver:
            lane = lane_to(courier, receiver)
            assert deliver(lane, [parcel()])[0].status in (200, 307)
            deliver(lane, [parcel()])
            assert all("cookie" not in request.headers for request in receiver.requests)
        return inside.connections


def test_a_redirect_is_not_followed(courier: Courier) -> None:
    assert redirected(courier) == 0


@pytest.mark.parametrize(
    "where", ["http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "//10.0.0.1/", "/x"]
)
def test_a_redirect_to_anywhere_is_a_failure(courier: Courier, where: str) -> None:
    with receiving(answering(status(302, f"location: {where}"))) as receiver:
        [answer] = deliver(lane_to(courier, receiver), [parcel()])
        assert (answer.ok, answer.status, answer.outcome, answer.reason) == (False, 302, "Aborted", "HTTP 302")
        assert len(receiver.requests) == 1


def test_mutant_that_follows_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    with_option(monkeypatch, lambda handle: handle.setopt(pycurl.FOLLOWLOCATION, 1))
    with pytest.raises(AssertionError, match=r"assert [12] == 0"):
        assert redirected(courier) == 0


def proxied(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> int:
    with receiving(answering(OK)) as proxy, receiving(answering(OK)) as receiver:
        for name in ("http_proxy", "https_proxy", "all_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        deliver(lane_to(courier, receiver), [parcel()])
        return proxy.connections


def test_a_proxy_of_the_environment_is_not_used(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxied(courier, monkeypatch) == 0


def test_mutant_that_takes_the_environments_proxy_is_caught(courier: Courier, monkeypatch: pytest.MonkeyPatch) -> None:
    with_option(monkeypatch, lambda handle: handle.unsetopt(pycurl.PROXY))
    with pytest.raises(AssertionError, match="assert 1 == 0"):
        assert proxied(courier, monkeypatch) == 0
