"""What ``--log kafka://…`` may say; what it may not is told, and never repeats a secret."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import CannotStart
from penstock.log.broker_limits import NAME
from penstock.log.kafka.cluster.address import OPTIONS, Address

SECRET = "hunter2"
KEY = f"SharedAccessKeyName=all;SharedAccessKey={SECRET}"
STRING = f"Endpoint=sb://flights.servicebus.windows.net/;{KEY}"
LOGIN = {"KAFKA_USER": "ann", "KAFKA_PASSWORD": SECRET}
OAUTH = {
    "KAFKA_OAUTH_TOKEN_URL": "https://issuer.example/token",
    "KAFKA_OAUTH_CLIENT_ID": "ann",
    "KAFKA_OAUTH_CLIENT_SECRET": SECRET,
}
HUBS = {"EVENTHUBS_CONNECTION_STRING": STRING}


def refused(url: str, **environ: str) -> str:
    """What is said of it, on one screen and without a secret."""
    with pytest.raises(CannotStart) as error:
        Address.parse(url, environ)
    said = str(error.value)
    assert SECRET not in said
    assert (error.value.__cause__ is None and error.value.__suppress_context__) or error.value.__context__ is None
    return said


# -- brokers ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "brokers", "namespace"),
    [
        ("kafka://broker", "broker:9092", ""),
        ("kafka://broker:9093", "broker:9093", ""),
        ("KAFKA://broker/", "broker:9092", ""),
        ("kafka://a:1,b,c.example.com:65535/flights", "a:1,b:9092,c.example.com:65535", "flights."),
        ("kafka://[::1]:9093,[2001:db8::2]/a.b_c-d", "[::1]:9093,[2001:db8::2]:9092", "a.b_c-d."),
        ("kafka://[fe80::1%eth0]:9093", "[fe80::1%eth0]:9093", ""),
        ("kafka://10.0.0.1:9092?replication=3", "10.0.0.1:9092", ""),
    ],
)
def test_brokers_and_a_namespace(url: str, brokers: str, namespace: str) -> None:
    address = Address.parse(url, {})
    assert (address.brokers, address.namespace) == (brokers, namespace)
    assert address.client == {"security.protocol": "plaintext"} and address.transactional


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("kafka:", "expected kafka://HOST:PORT"),
        ("kafka:broker:9092", "expected kafka://HOST:PORT"),
        ("http://broker:9092", "expected kafka://HOST:PORT"),
        ("kafka+ssl://broker", "expected kafka://HOST:PORT"),
        ("kafka://", "which brokers"),
        ("kafka:///flights", "which brokers"),
        ("kafka://a,,b", "'' is not HOST:PORT"),
        ("kafka://a:", "a port is a number from 1 to 65535"),
        ("kafka://a:http", "a port is a number"),
        ("kafka://a:0", "a port is a number"),
        ("kafka://a:65536", "a port is a number"),
        ("kafka://a:²", "a port is a number"),
        ("kafka://a b", "'a b' is not HOST:PORT"),
        ("kafka://-a", "'-a' is not HOST:PORT"),
        ("kafka://::1:9092", "in brackets"),
        ("kafka://[::1", "is not [IPv6 ADDRESS]:PORT"),
        ("kafka://[::1]9092", "is not [IPv6 ADDRESS]:PORT"),
        ("kafka://[nonsense]:9092", "is not [IPv6 ADDRESS]:PORT"),
        ("kafka://a/b/c", "the namespace 'b/c' may hold"),
        ("kafka://a/b%20c", "the namespace 'b c' may hold"),
        ("kafka://a/" + "n" * 101, "100 at most"),
        ("kafka://a?replicas=3", "no such option: 'replicas'; there are\n  replication:"),
        ("kafka://a?replication", "replication has no value: replication is replicas of the topics"),
        ("kafka://a?replication=0", "is not a number of replicas"),
        ("kafka://a?replication=-1", "is not a number of replicas"),
        ("kafka://a?replication=two", "is not a number of replicas"),
        ("kafka://a?replication=3&replication=2", "replication is given twice"),
        ("kafka://a?wait=0", "is not a number of seconds"),
        ("kafka://a?wait=nan", "is not a number of seconds"),
        ("kafka://a?wait=soon", "is not a number of seconds"),
        ("kafka://a?transactions=false", "transactions=false is neither yes nor no"),
    ],
)
def test_what_is_no_address_is_told(url: str, says: str) -> None:
    assert says in refused(url)


hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9](\.[a-z]{2,5})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
brokers = st.tuples(hosts, st.integers(1, 65_535)).map(lambda broker: f"{broker[0]}:{broker[1]}")
names = st.text(sorted(NAME), max_size=100)


@given(st.lists(brokers, min_size=1, max_size=5), names, st.integers(1, 9), st.integers(1, 900))
def test_what_is_written_is_read(hosts: list[str], name: str, replication: int, wait: int) -> None:
    address = Address.parse(f"kafka://{','.join(hosts)}/{name}?replication={replication}&wait={wait}", {})
    assert address.brokers.split(",") == hosts
    assert address.namespace == (name and f"{name}.")
    assert (address.replication, address.wait) == (replication, wait)
    for each in address.brokers.split(","):
        if each.startswith("["):
            ipaddress.IPv6Address(each[1:].partition("]")[0])


@given(
    st.sampled_from(["kafka://", "kafka+eventhubs://", ""]),
    st.text(st.sampled_from("ab1.,:[]/?&=%-+;#@ \0é²") | st.characters(), max_size=40),
)
def test_any_other_text_is_an_address_or_told(scheme: str, rest: str) -> None:
    try:
        address = Address.parse(scheme + rest, LOGIN | HUBS)
    except CannotStart as error:
        assert SECRET not in str(error)
    else:
        assert address.brokers and NAME.issuperset(address.namespace)
        for each in address.brokers.split(","):
            assert 0 < int(each.rpartition(":")[2]) < 65_536


# -- secrets ------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        f"kafka://ann:{SECRET}@broker:9092",
        f"kafka://ann:{SECRET[:3]}/{SECRET}@broker:9092",
        f"kafka://broker?user=ann@x&password={SECRET}",
        f"kafka://broker?password={SECRET}",
        f"kafka://broker?sasl.password={SECRET}",
        f"kafka+eventhubs://{STRING}",
        f"kafka+eventhubs://flights?{KEY}",
    ],
)
def test_a_url_holds_no_credentials_and_no_message_repeats_them(url: str) -> None:
    said = refused(url, **LOGIN)
    assert "KAFKA_PASSWORD" in said or "no such option" in said


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("kafka://a?security=sasl_ssl", LOGIN),
        ("kafka://a?security=sasl_plaintext&mechanism=SCRAM-SHA-512", LOGIN),
        ("kafka://a?security=sasl_ssl&mechanism=OAUTHBEARER", OAUTH),
        ("kafka+eventhubs://flights", HUBS),
    ],
)
def test_what_is_printed_of_an_address_has_no_secret(url: str, environ: dict[str, str]) -> None:
    address = Address.parse(url, environ)
    assert any(SECRET in value for value in address.client.values())
    assert silent(repr(address)) and silent(str(address)) and silent(f"{address!a}")
    assert not silent(repr(asdict(address))), "a repr that shows every field would be seen"


def silent(text: str) -> bool:
    return SECRET not in text


def test_a_password_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f" {SECRET} \n")
    environ = {"KAFKA_USER": "ann", "KAFKA_PASSWORD_FILE": str(file)}
    assert Address.parse("kafka://a?security=sasl_ssl", environ).client["sasl.password"] == f" {SECRET} "
    assert "both set" in refused("kafka://a?security=sasl_ssl", **environ, KAFKA_PASSWORD=SECRET)
    file.write_bytes(b"\xff")
    assert "it is not text" in refused("kafka://a?security=sasl_ssl", **environ)
    file.unlink()
    assert f"KAFKA_PASSWORD_FILE={file}: No such file" in refused("kafka://a?security=sasl_ssl", **environ)


# -- security -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "environ", "says"),
    [
        ("kafka://a?security=tls", {}, "security=tls is none of plaintext, ssl"),
        ("kafka://a?security=sasl_ssl&mechanism=GSSAPI", LOGIN, "mechanism=GSSAPI is none of PLAIN"),
        ("kafka://a?security=sasl_ssl", {"KAFKA_USER": "ann"}, "PLAIN needs KAFKA_USER, and KAFKA_PASSWORD or"),
        ("kafka://a?security=sasl_ssl", {"KAFKA_PASSWORD": SECRET}, "needs KAFKA_USER"),
        ("kafka://a?security=ssl&mechanism=PLAIN", LOGIN, "mechanism is of no use with security=ssl"),
        ("kafka://a?ca=x.pem", {}, "ca is of no use with security=plaintext; it goes with ssl or sasl_ssl"),
        ("kafka://a?security=ssl&ca=/nowhere/ca.pem", {}, "ca=/nowhere/ca.pem: No such file"),
        ("kafka://a?security=ssl&ca=a%00b", {}, "that is no file's name"),
        ("kafka://a?security=ssl&cert=/dev/null", {}, "cert and key go together"),
        ("kafka://a?security=sasl_ssl&mechanism=OAUTHBEARER", LOGIN, "needs KAFKA_OAUTH_TOKEN_URL"),
        (
            "kafka://a?security=sasl_ssl&mechanism=OAUTHBEARER",
            OAUTH | {"KAFKA_OAUTH_TOKEN_URL": "http://issuer.example/token"},
            "is not an https:// URL",
        ),
        (
            "kafka://a?security=sasl_ssl&mechanism=OAUTHBEARER",
            OAUTH | {"KAFKA_OAUTH_TOKEN_URL": "https://[issuer/token"},
            "is not an https:// URL",
        ),
    ],
)
def test_what_does_not_fit_together_is_told(url: str, environ: dict[str, str], says: str) -> None:
    assert says in refused(url, **environ)


def test_a_clients_own_certificate(tmp_path: Path) -> None:
    cert, key = tmp_path / "a.pem", tmp_path / "a+b&c.key"
    cert.touch()
    key.touch()
    url = f"kafka://a?security=ssl&cert={cert}&key={str(key).replace('&', '%26')}"
    client = Address.parse(url, {"KAFKA_KEY_PASSWORD": SECRET}).client
    assert client["ssl.certificate.location"] == str(cert) and client["ssl.key.location"] == str(key)
    assert client["ssl.key.password"] == SECRET


def test_every_option_is_said_in_the_docs() -> None:
    docs = (Path(__file__).parents[4] / "docs" / "kafka.md").read_text()
    assert [name for name in OPTIONS if f"| `{name}` |" not in docs] == []


# -- Event Hubs ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "brokers"),
    [
        ("kafka+eventhubs://flights", "flights.servicebus.windows.net:9093"),
        ("kafka+eventhubs://flights.servicebus.windows.net/app", "flights.servicebus.windows.net:9093"),
        ("kafka+eventhubs://flights.servicebus.windows.net:9093", "flights.servicebus.windows.net:9093"),
        ("kafka+eventhubs://hubs.internal.example", "hubs.internal.example:9093"),
        ("kafka+eventhubs://localhost:9094", "localhost:9094"),
    ],
)
def test_a_namespace_is_an_address(url: str, brokers: str) -> None:
    address = Address.parse(url, HUBS)
    assert address.brokers == brokers
    assert address.client["security.protocol"] == "sasl_ssl"
    assert address.client["sasl.username"] == "$ConnectionString" and address.client["sasl.password"] == STRING
    assert not address.transactional
    assert Address.parse(f"{url}?transactions=yes", HUBS).transactional


@pytest.mark.parametrize(
    ("url", "string", "says"),
    [
        ("kafka+eventhubs://flights", "", "needs the namespace's connection string as EVENTHUBS_CONNECTION_STRING"),
        ("kafka+eventhubs://flights", SECRET, "lacks Endpoint, SharedAccessKeyName, SharedAccessKey"),
        ("kafka+eventhubs://flights", STRING + ";EntityPath=one", "is that of one event hub, 'one'"),
        ("kafka+eventhubs://trains", STRING, "is that of flights.servicebus.windows.net"),
        ("kafka+eventhubs://flights?security=plaintext", STRING, "leaves no choice of security"),
    ],
)
def test_a_connection_string_is_looked_at(url: str, string: str, says: str) -> None:
    assert says in refused(url, EVENTHUBS_CONNECTION_STRING=string)
