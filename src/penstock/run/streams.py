"""The three standard streams, whatever the shell did with them."""

from __future__ import annotations

import os
import sys


def open_standard_streams() -> None:
    """One that was closed would be the next file that is opened, and what is printed would go into it: so it leads
    nowhere instead, here and in the children."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(descriptor, True)
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115  # for the life of the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
