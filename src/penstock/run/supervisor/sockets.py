"""The listening socket, which outlives every gateway that serves on it."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence

from ...errors import CannotStart
from ...gateway.hosts import check_bind
from ...gateway.tls.certificates import TLSFiles
from ...loopback import is_loopback

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

LOCALHOST = "localhost"
UNCAUGHT = "webhooks are not caught, since what sends them"
BACKLOG = 1_024  # connections that wait while a killed gateway comes back


def listen(host: str, port: int, *, access: bool = False) -> socket.socket:
    """Bind. Raises ``DeclarationError`` for an address that others reach, unless they have to show a key (``access``),
    and ``CannotStart`` for a port in use."""
    ip = _ip(host, "--host")
    check_bind(str(ip), access=access)
    return _bound(ip, port, "--port ")


def listen_anywhere(host: str, port: int) -> socket.socket:
    """The same on any address, for what hands out no event and changes nothing. Raises ``CannotStart``."""
    ip = _ip(host, "--probes")
    return _bound(ip, port, f"--probes {_written(str(ip), '')}")


def parsed(place: str, option: str) -> tuple[str, int]:
    """Of ``HOST:PORT``, an IPv6 address in brackets. Raises ``CannotStart``."""
    host, _, port = place.rpartition(":")
    if not host or not port.isdecimal():
        raise CannotStart(f"{option} {place} is no HOST:PORT; such as 127.0.0.1:8081, or 0.0.0.0:8081 for a cluster")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _bound(ip: IPAddress, port: int, option: str) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise CannotStart(f"{option}{port} is not a port; give a number from 0 (any free one) to 65535")
    host, family = str(ip), socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} on {host} is in use by another program; give another with {option}N, any with {option}0"
            ) from None
        raise CannotStart(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return sock


def address(sock: socket.socket, names: Sequence[str] | None = None) -> str:
    """``names``: those that its certificate is good for, of which one is taken that leads to this machine; None: no
    TLS is spoken there."""
    host, port = sock.getsockname()[:2]
    if names is None:
        return f"http://{_written(host, port)}"
    return f"https://{_written(LOCALHOST if host not in names and LOCALHOST in names else host, port)}"


def uncaught(tls: TLSFiles, names: Sequence[str]) -> str:
    """Why webhooks do not get to where they are caught, over TLS that is spoken here; empty: they do."""
    if tls.client_ca is not None and tls.client_required:
        return f"{UNCAUGHT} shows no certificate, and --tls-clients required asks everybody for one"
    if not any(is_loopback(name) for name in names):
        return f"{UNCAUGHT} calls this machine, and the certificate is for {', '.join(names)}: add localhost to it"
    return ""


def _written(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ip(host: str, option: str) -> IPAddress:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == LOCALHOST else host)
    except ValueError:
        raise CannotStart(f"{option} {host} is not an IP address of this machine; use 127.0.0.1 or ::1") from None
