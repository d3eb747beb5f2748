"""The suite that every log passes. Subclass ``LogContract`` in a test module and say how to open yours."""

from .commits import CommitsContract
from .groups import GroupsContract
from .members import MembersContract
from .reading import ReadingContract
from .retention import RetentionContract
from .topics import TopicsContract
from .trouble import TroubleContract
from .words import BRISK, JUMPS, NUMBERS, by_partition, drain, numbers, pass_on, through, until, values, write

__all__ = [
    "BRISK",
    "JUMPS",
    "NUMBERS",
    "LogContract",
    "by_partition",
    "drain",
    "numbers",
    "pass_on",
    "through",
    "until",
    "values",
    "write",
]


class LogContract(
    ReadingContract,
    GroupsContract,
    CommitsContract,
    MembersContract,
    TopicsContract,
    RetentionContract,
    TroubleContract,
):
    """Every test opens the log with ``open`` in a fresh directory. Set the flags to what the backend can do."""
