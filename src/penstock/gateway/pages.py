"""Web pages: what a browser on this machine sends for a page of another origin is not taken for its user's wish.

Any page may have a browser send us a request, also one that it can never read the answer to. Three things tell such a
request apart, and none of them can be set by a page: the browser's marks (``Origin``, RFC 6454 §7; ``Sec-Fetch-Site``,
W3C Fetch Metadata), and a content type for which it asks nobody's leave first (Fetch, CORS-safelisted request-header).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import Forbidden, UnsupportedMediaType

SAFE = ("GET", "HEAD", "OPTIONS")  # methods that change nothing (RFC 9110 §9.2.1)
UNASKED = frozenset((b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"))
OURS = (b"same-origin", b"none")  # none: the user's own doing, such as an address typed
LINK = {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}  # a page that opens in a tab of its own
OF_BROWSERS = frozenset((b"origin", b"sec-fetch-site"))
MARKS = frozenset((*OF_BROWSERS, *LINK, b"host", b"content-type", b"content-length", b"transfer-encoding"))

Headers = Sequence[tuple[bytes, bytes]]


def check(method: str, headers: Headers) -> None:
    """Raises ``Forbidden`` for a request of a foreign page, ``UnsupportedMediaType`` for a body that says too little.

    Foreign pages may link to us; they may not use us as a picture, a script, a frame or an answer to ``fetch``.
    """
    found = [(name, value) for name, value in headers if name in MARKS]
    if method in SAFE:
        if any(name == b"sec-fetch-site" and value not in OURS for name, value in found) and not _is_link(found):
            raise Forbidden("a page of another site asks for this; it may link here, and not use it as its own")
        return
    of_browser = [(name, value) for name, value in found if name in OF_BROWSERS]
    foreign = next((value for name, value in of_browser if _is_foreign(name, value, found)), None)
    if foreign is not None:
        raise Forbidden(
            f"a page of another origin asks for this ({foreign.decode('latin-1')[:80]}): only programs and this "
            "server's own pages may change something here"
        )
    _check_type(found, bool(of_browser))


def _is_foreign(name: bytes, value: bytes, found: Headers) -> bool:
    if name == b"sec-fetch-site":
        return value not in OURS
    return value.lower() not in _own(found)


def _own(found: Headers) -> tuple[bytes, ...]:
    host = next((value.lower() for name, value in found if name == b"host"), b"")
    return (b"http://" + host, b"https://" + host)  # https: a proxy before us that keeps the Host


def _is_link(found: Headers) -> bool:
    return dict(found).items() >= LINK.items()


def _check_type(found: Headers, of_browser: bool) -> None:
    kinds = [value.partition(b";")[0].strip().lower() for name, value in found if name == b"content-type"]
    if unasked := next((kind for kind in kinds if kind in UNASKED), None):
        raise UnsupportedMediaType(
            f"content type '{unasked.decode()}' is what any web page may send here unasked, and curl unless told "
            "otherwise: say what the body is, such as -H 'content-type: application/json'"
        )
    if of_browser and not kinds and any(_is_of_body(name, value) for name, value in found):
        raise UnsupportedMediaType("a browser's request with a body names its content type")


def _is_of_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
