"""API keys: ``psk_``, 32 random characters, and a checksum of them.

The prefix tells what it is to whoever finds one, in a log or a repository; the checksum tells a scanner, and a door,
that a text is none without a look at any list. A key has 190 random bits, so its SHA-256 is kept and no slow hash of
it: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import zlib

PREFIX = "psk_"
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
RANDOM_CHARS = 32  # characters of 62 kinds each: 190 bits
CHECKSUM_CHARS = 6  # characters, which hold the 32 bits of a CRC-32
LENGTH = len(PREFIX) + RANDOM_CHARS + CHECKSUM_CHARS
_ANY = re.compile(PREFIX + "[0-9A-Za-z]+")
ID_CHARS = 10  # characters of what a key is called by, which is no secret


def make() -> str:
    """A new key. It is shown once; whoever keeps it keeps ``digest`` of it."""
    body = PREFIX + "".join(secrets.choice(ALPHABET) for _ in range(RANDOM_CHARS))
    return body + _checksum(body)


def make_id() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(ID_CHARS))


def is_whole(text: str) -> bool:
    """Is it a key, though perhaps nobody's?"""
    return len(text) == LENGTH and text.isascii() and text[-CHECKSUM_CHARS:] == _checksum(text[:-CHECKSUM_CHARS])


def hidden(text: str) -> str:
    """With no key in it, which may be where nobody expects it, such as in a path."""
    return _ANY.sub(PREFIX + "…", text)


def digest(key: str) -> str:
    """What is kept of it: SHA-256, in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(body: str) -> str:
    number, found = zlib.crc32(body.encode()), ""
    for _ in range(CHECKSUM_CHARS):
        number, digit = divmod(number, len(ALPHABET))
        found = ALPHABET[digit] + found
    return found
