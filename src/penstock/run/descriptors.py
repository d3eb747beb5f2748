"""Open files: as many as the doors' connections need, as far as this user may have them."""

from __future__ import annotations

import resource

from ..errors import CannotStart

RESERVE = 128  # that are no connection's: the log's files, readers, metrics, workers' sockets, runners
FEWEST = 32  # connections without which there is no use in starting


def make_room(connections: int) -> int:
    """Raise this process's limit, and so its children's, to what that many connections need; never lower it.

    Returns how many connections fit. Raises ``CannotStart`` where those are next to none.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + RESERVE
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    if soft == resource.RLIM_INFINITY:
        return connections
    if soft < RESERVE + FEWEST:
        raise CannotStart(
            f"only {soft} files may be open at once, and {RESERVE + FEWEST} are the fewest to start with: raise the "
            "limit (`ulimit -n`)"
        )
    return min(connections, soft - RESERVE)
