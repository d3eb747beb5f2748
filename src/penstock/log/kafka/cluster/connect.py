"""The first contact with a cluster: wait for it, and say why it does not come."""

from __future__ import annotations

import re
import socket
import ssl

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ....clock import Clock
from ....errors import AccessRefused, CannotStart, LogUnreachable
from ....telemetry import logger
from .address import Address
from .client import configuration
from .connection_errors import OF_THE_CLIENT
from .event_hubs import USER

log = logger(__name__)

TRY_S = 0.5  # seconds of one question; librdkafka goes on connecting meanwhile, less and less often
HANDSHAKE_S = 5.0  # seconds for a TLS handshake that only finds out what is wrong with a certificate
_AT = re.compile(r"//([^/]+?):(\d+)[/:]")
_UNVERIFIED = "certificate verify failed"


def reach(address: Address, clock: Clock) -> None:
    """Return once a broker answers.

    Raises ``AccessRefused`` as soon as one refuses this client, or this client the broker's certificate: to try again
    would lock accounts and change nothing. Raises ``LogUnreachable`` when ``address.wait`` seconds have passed, and
    ``CannotStart`` for certificates and keys that cannot be used.
    """
    address.heard.clear()
    asking = _client(address)
    began, told = clock.monotonic(), 0.0
    while asking is None or not _answers(asking):
        if refusal := address.heard.refusal:
            raise AccessRefused(f"the brokers at {address.brokers}: {_explained(address, refusal)}")
        waited = clock.monotonic() - began
        reason = address.heard.reason or "nothing there answers"
        if waited >= address.wait:
            raise LogUnreachable(
                f"no broker at {address.brokers} has answered within {address.wait:g} s: {reason}. {_advice(address)}"
            )
        if waited >= 2 * told:
            log.warning("the brokers do not answer yet", brokers=address.brokers, reason=reason, waited=round(waited))
            told = max(waited, 1.0)
        if asking is None:
            clock.sleep(TRY_S)
            asking = _client(address)
    address.heard.clear()


def _client(address: Address) -> AdminClient | None:
    """None while there are no credentials to show to the brokers; why not, ``address.heard`` knows."""
    try:
        return AdminClient(configuration(address))
    except AccessRefused:
        raise
    except LogUnreachable:
        return None
    except KafkaException as error:
        raise CannotStart(f"the brokers at {address.brokers} cannot be asked: {error.args[0].str()}") from None


def _answers(asking: AdminClient) -> bool:
    try:
        asking.list_topics(timeout=TRY_S)
    except KafkaException:
        while asking.poll(0):
            pass
        return False
    return True


def _advice(address: Address) -> str:
    security = address.client.get("security.protocol", "plaintext")
    if address.heard.lacking:
        return "Outside Azure's Container Apps and App Service leave identity= out and use EVENTHUBS_CONNECTION_STRING"
    if not address.heard.reason or "Disconnected" in address.heard.reason or "Receive failed" in address.heard.reason:
        return f"Does Kafka listen there, and is security={security} what it expects?"
    return f"Do the brokers run, and are the addresses and security={security} right?"


def _explained(address: Address, refusal: str) -> str:
    if _UNVERIFIED in refusal:
        return _certificate(address, refusal)
    if OF_THE_CLIENT.search(refusal):
        return f"{refusal}; the brokers ask this client for a certificate: are cert and key right?"
    if "handshake failed" in refusal:
        return f"{refusal}; is security={address.client['security.protocol']} what that listener expects?"
    return f"{refusal}; {_credentials(address)}"


def _credentials(address: Address) -> str:
    mechanism = address.client.get("sasl.mechanism", "")
    if address.identity is not None:
        return (
            f"has the managed identity {address.identity.client_id} the roles Azure Event Hubs Data Sender and Data "
            "Receiver, or rights to each of the hubs?"
        )
    if mechanism == "OAUTHBEARER":
        return "are KAFKA_OAUTH_CLIENT_ID, _CLIENT_SECRET, _SCOPE and _TOKEN_URL right, and do the brokers trust them?"
    if address.client.get("sasl.username") == USER:
        return "is EVENTHUBS_CONNECTION_STRING that of this namespace, and its key still valid?"
    return f"are KAFKA_USER and KAFKA_PASSWORD right, and may that user come by {mechanism}?"


def _certificate(address: Address, refusal: str) -> str:
    """OpenSSL knows what it did not like; librdkafka says the same whatever it was."""
    found = _AT.search(refusal)
    if found is None:
        return refusal
    host, port = found[1].strip("[]"), int(found[2])
    authorities = address.client.get("ssl.ca.location")
    try:
        context = ssl.create_default_context(cafile=authorities)
        with (
            socket.create_connection((host, port), HANDSHAKE_S) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return refusal
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _NAMES:
            advice = "use a name that it is valid for, or give the broker a certificate with this one"
        elif error.verify_code in _TIMES:
            advice = "renew it, or mend this machine's clock"
        else:
            advice = f"does ca={authorities or '…'} hold the authority that signed it?"
        return f"the certificate of {host}:{port} is refused: {error.verify_message}; {advice}"
    except OSError:
        return refusal


_NAMES = {62, 63, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_MISMATCH, _IP_ADDRESS_MISMATCH
_TIMES = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED
