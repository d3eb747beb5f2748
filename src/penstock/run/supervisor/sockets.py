"""The listening socket, which outlives every gateway that serves on it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from ...errors import CannotStart
from ...gateway.hosts import check_bind

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

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


def address(sock: socket.socket) -> str:
    return f"http://{_written(*sock.getsockname()[:2])}"


def _written(host: str, port: int | str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _ip(host: str, option: str) -> IPAddress:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise CannotStart(f"{option} {host} is not an IP address of this machine; use 127.0.0.1 or ::1") from None
