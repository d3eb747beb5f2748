"""Signatures of Standard Webhooks 1.0.0, by which a receiver knows that a request is ours and new.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from ...errors import CannotStart, DeclarationError, install

if TYPE_CHECKING:
    from standardwebhooks import Webhook

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)  # of a secret, decoded
SECRETS = 2  # the one that receivers verify with, and during a rotation the one before
_PLAIN = re.compile(r"[A-Za-z0-9_~/:@-]+")


def check_secret(secret: str) -> None:
    """Raises ``DeclarationError`` for what is no secret; never with the secret in it."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or len(key) not in KEY_BYTES:
        raise DeclarationError(
            f"a webhook's secret is {PREFIX} and {KEY_BYTES[0]} to {KEY_BYTES[-1]} random bytes in base64, and this is "
            f"none; make one with: python -c \"import base64, os; print('{PREFIX}' + "
            'base64.b64encode(os.urandom(32)).decode())"'
        )


def webhook_id(text: str) -> str:
    """A parcel's id as ``webhook-id`` and ``Idempotency-Key``: printable, without the "." that ends the id in what is
    signed. Different ids stay different, since "%" is written as "%25"."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="/:@~").replace(".", "%2E")


class Signer:
    """Signs with one secret, or with two of a rotation. Raises ``CannotStart`` where the library is missing."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [_webhook(secret) for secret in secrets]

    def sign(self, id: str, seconds: int, body: bytes) -> str:
        """The value of ``webhook-signature`` for exactly these bytes, sent ``seconds`` after the epoch.

        Raises ``UnicodeDecodeError`` for a body that is no UTF-8: no receiver's library could verify it.
        """
        sent, text = datetime.fromtimestamp(seconds, UTC), body.decode()
        return " ".join([key.sign(id, sent, text) for key in self._keys])


def _webhook(secret: str) -> Webhook:
    try:
        from standardwebhooks import Webhook
    except ImportError:
        raise CannotStart(f"signing webhooks needs standardwebhooks: {install('webhooks')}") from None
    return Webhook(secret)
