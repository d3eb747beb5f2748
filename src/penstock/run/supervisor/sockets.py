"""The listening socket, which outlives every gateway that serves on it."""

from __future__ import annotations

import errno
import ipaddress
import socket

from ...errors import CannotStart
from ...gateway.hosts import check_bind

BACKLOG = 1_024  # connections that wait while a killed gateway comes back


def listen(host: str, port: int) -> socket.socket:
    """Bind. Raises ``DeclarationError`` for an address that others reach, and ``CannotStart`` for a port in use."""
    family, where = _loopback(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} on {host} is in use by another program; give another with --port N, or any with --port 0"
            ) from None
        raise CannotStart(f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return sock


def address(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _loopback(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    if not 0 <= port <= 65_535:
        raise CannotStart(f"--port {port} is not a port; give a number from 0 (any free one) to 65535")
    try:
        ip = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise CannotStart(f"--host {host} is not an IP address of this machine; use 127.0.0.1 or ::1") from None
    check_bind(str(ip))
    return (socket.AF_INET6 if ip.version == 6 else socket.AF_INET), (str(ip), port)
