from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.plan.webhook_url import host_of, is_private, split_url

REFUSED = {
    "ftp://example.com/": "it does not begin with https://",
    "//example.com/": "it does not begin with https://",
    "example.com": "it does not begin with https://",
    "https:/example.com": "it has no host and port",
    "https://": "it has no host and port",
    "https://:443/": "it has no host and port",
    "https://-a/": "it has no host and port",
    "https://example.com:0/": "it has no host and port",
    "https://example.com:65536/": "its host or port cannot be read",
    "https://example.com:http/": "its host or port cannot be read",
    "https://[::1/": "its host or port cannot be read",
    "https://[localhost]/": "its host or port cannot be read",
    "https://me@example.com/": "it has a user or a password in it",
    "https://example.com/#there": "it has a fragment",
    "https://example.com/#": "it has a fragment",
    "https://example.com/a b": "it is not of visible ASCII alone",
    "https://example.com\\@127.0.0.1/": "it is not of visible ASCII alone",
    "https://exämple.com/": "it is not of visible ASCII alone",
    "https://example.com/\r\nHost: x": "it is not of visible ASCII alone",
    "": "it is not of visible ASCII alone",
    f"https://example.com/{'a' * 2_048}": "it has 2,068 characters, and 2,048 is the most",
}


@pytest.mark.parametrize(("url", "why"), REFUSED.items())
def test_what_is_no_url_of_a_webhook_is_refused_without_repeating_it(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        split_url(url)
    assert not url or url not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.COM:8443/a?b=c", "example.com"),
        ("http://localhost", "localhost"),
        ("https://[2001:DB8::1]/", "2001:db8::1"),
        ("https://example.com./", "example.com."),
        ("https://a_b.example.com", "a_b.example.com"),
        ("https://127.1", "127.1"),
    ],
)
def test_a_host_is_in_small_letters(url: str, host: str) -> None:
    assert host_of(url) == host


PRIVATE = [
    "localhost", "a.localhost", "localhost.", "127.0.0.1", "127.0.0.1.", "127.1", "2130706433", "0x7f.1", "0x7F000001",
    "017700000001", "0", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "fe80::1", "fc00::1", "ff02::1", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("host", PRIVATE)
def test_a_host_that_says_itself_that_it_is_internal(host: str) -> None:
    assert is_private(host)


@pytest.mark.parametrize("host", ["example.com", "localhost.example.com", "8.8.8.8", "2606:4700::1111", "mylocalhost"])
def test_a_host_of_the_public_internet(host: str) -> None:
    assert not is_private(host)


@given(st.text(max_size=40) | st.text(max_size=20).map("https://{}".format))
def test_any_text_is_a_url_or_refused(text: str) -> None:
    try:
        found = split_url(text)
    except ValueError:
        return
    assert found.scheme in ("http", "https") and found.hostname and found.geturl().isascii()
    is_private(found.hostname)
