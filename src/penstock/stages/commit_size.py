"""How many rows to store at once on a log that gives up what takes long: a cluster that throttles its clients."""

from __future__ import annotations

import math
from dataclasses import dataclass

QUICK_S = 3.0  # seconds of one commit; well below the ten after which Kafka gives a transaction up
BACK = 4  # times fewer rows after a commit that came to nothing
ON = 1.1  # times as many after one that was stored, and not quickly


@dataclass(slots=True)
class CommitSize:
    """Without it, what takes longer than a transaction may last would be tried for ever, as large as before.

    Only what came to nothing makes commits smaller. A slow one that is stored does not: where it is the commit that
    costs and not its rows, fewer would take as long.
    """

    rows: float = math.inf  # of the next commit, at most

    def stored(self, seconds: float) -> None:
        self.rows = 2 * self.rows if seconds <= QUICK_S else max(ON * self.rows, self.rows + 1)

    def failed(self, rows: int, seconds: float) -> None:
        """What is refused at once, or was another member's by then, says nothing of the number of rows."""
        if seconds > QUICK_S:
            self.rows = max(1.0, rows / BACK)
