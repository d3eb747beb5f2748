"""TLS and SASL: what a URL says of them, and where the secrets come from.

A secret is the value of an environment variable, or the content of the file that ``NAME_FILE`` names, as container
platforms mount them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ....errors import CannotStart

PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
PASSWORDS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
MECHANISMS = (*PASSWORDS, "OAUTHBEARER")
OPTIONS = {
    "security": "plaintext (the default), ssl, sasl_plaintext or sasl_ssl",
    "mechanism": "PLAIN (the default), SCRAM-SHA-256 or SCRAM-SHA-512, with KAFKA_USER and KAFKA_PASSWORD in the "
    "environment; or OAUTHBEARER, with KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID and KAFKA_OAUTH_CLIENT_SECRET",
    "ca": "a PEM file with the authorities to trust; the system's when absent",
    "cert": "a PEM file with this client's certificate, where the brokers ask for one; with key",
    "key": "a PEM file with its key; KAFKA_KEY_PASSWORD is its passphrase",
}


def security(where: str, options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """librdkafka's settings. Raises ``CannotStart`` for what does not fit together or is not there."""
    protocol = options.get("security", "plaintext")
    if protocol not in PROTOCOLS:
        raise CannotStart(f"{where}: security={protocol} is none of {', '.join(PROTOCOLS)}")
    tls, sasl = protocol.endswith("ssl"), protocol.startswith("sasl")
    for name, needed in (("ca", tls), ("cert", tls), ("key", tls), ("mechanism", sasl)):
        if name in options and not needed:
            kind = "ssl or sasl_ssl" if name != "mechanism" else "sasl_plaintext or sasl_ssl"
            raise CannotStart(f"{where}: {name} is of no use with security={protocol}; it goes with {kind}")
    client = {"security.protocol": protocol}
    if tls:
        client |= trusted(where, options) | _own(where, options, environ)
    if sasl:
        client |= _sasl(where, options.get("mechanism", "PLAIN"), environ)
    return client


def secret(name: str, environ: Mapping[str, str]) -> str:
    """Empty when it is not given. Raises ``CannotStart`` for a file that cannot be read, or for two secrets."""
    value, file = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if not file:
        return value
    if value:
        raise CannotStart(f"{name} and {name}_FILE are both set: which one holds?")
    try:
        return Path(file).read_text().rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise CannotStart(f"{name}_FILE={file}: {reason}") from None


def trusted(where: str, options: Mapping[str, str]) -> dict[str, str]:
    """Which authorities vouch for the brokers' certificates. Those and the brokers' names are always looked at."""
    found = {"enable.ssl.certificate.verification": "true", "ssl.endpoint.identification.algorithm": "https"}
    return found | ({"ssl.ca.location": _file(where, "ca", options["ca"])} if "ca" in options else {})


def _own(where: str, options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    if "cert" not in options and "key" not in options:
        return {}
    if "cert" not in options or "key" not in options:
        raise CannotStart(f"{where}: cert and key go together: a certificate is shown by who has its key")
    found = {
        "ssl.certificate.location": _file(where, "cert", options["cert"]),
        "ssl.key.location": _file(where, "key", options["key"]),
    }
    passphrase = secret("KAFKA_KEY_PASSWORD", environ)
    return found | ({"ssl.key.password": passphrase} if passphrase else {})


def _sasl(where: str, mechanism: str, environ: Mapping[str, str]) -> dict[str, str]:
    if mechanism not in MECHANISMS:
        raise CannotStart(f"{where}: mechanism={mechanism} is none of {', '.join(MECHANISMS)}")
    if mechanism == "OAUTHBEARER":
        return {"sasl.mechanism": mechanism, **_oauth(where, environ)}
    user, password = environ.get("KAFKA_USER", ""), secret("KAFKA_PASSWORD", environ)
    if not user or not password:
        raise CannotStart(
            f"{where}: {mechanism} needs KAFKA_USER, and KAFKA_PASSWORD or KAFKA_PASSWORD_FILE, in the environment"
        )
    return {"sasl.mechanism": mechanism, "sasl.username": user, "sasl.password": password}


def _oauth(where: str, environ: Mapping[str, str]) -> dict[str, str]:
    """OpenID Connect with client credentials: librdkafka fetches the tokens, and new ones before they expire."""
    url, client = environ.get("KAFKA_OAUTH_TOKEN_URL", ""), environ.get("KAFKA_OAUTH_CLIENT_ID", "")
    password = secret("KAFKA_OAUTH_CLIENT_SECRET", environ)
    if not url or not client or not password:
        raise CannotStart(
            f"{where}: OAUTHBEARER needs KAFKA_OAUTH_TOKEN_URL, KAFKA_OAUTH_CLIENT_ID, and KAFKA_OAUTH_CLIENT_SECRET "
            "or KAFKA_OAUTH_CLIENT_SECRET_FILE, in the environment"
        )
    if not _private(url):
        raise CannotStart(
            f"{where}: KAFKA_OAUTH_TOKEN_URL is not an https:// URL: the client's secret would travel in the clear"
        )
    optional = {
        "sasl.oauthbearer.scope": environ.get("KAFKA_OAUTH_SCOPE", ""),
        "sasl.oauthbearer.extensions": environ.get("KAFKA_OAUTH_EXTENSIONS", ""),
        "https.ca.location": environ.get("KAFKA_OAUTH_CA", ""),
    }
    return {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.token.endpoint.url": url,
        "sasl.oauthbearer.client.id": client,
        "sasl.oauthbearer.client.secret": password,
        **{name: value for name, value in optional.items() if value},
    }


def _private(url: str) -> bool:
    """Whether what is sent there is read by nobody on the way: by TLS, or since it does not leave the machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.scheme == "https":
        return bool(host)
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _file(where: str, name: str, path: str) -> str:
    try:
        Path(path).open("rb").close()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "that is no file's name"
        raise CannotStart(f"{where}: {name}={path}: {reason}") from None
    return path
