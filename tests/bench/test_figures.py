"""Which runs a figure is made of."""

from itertools import accumulate, count

import pytest

from penstock.bench.figures import undisturbed


@pytest.mark.parametrize(
    ("taken", "kept", "measured"),
    [
        ([], [0, 1, 2], 3),  # what a quiet machine measures is not chosen from
        ([0, 9], [0, 2, 3], 4),
        ([9, 9, 0, 0, 0], [2, 3, 4], 5),
        ([10**n for n in (0, 15, 15, 12, 8, 4)], [0, 5, 4], 6),  # never more than twice as many
    ],
)
def test_runs_from_which_the_host_took_cpu_are_measured_again(taken: list[int], kept: list[int], measured: int) -> None:
    """``taken``: seconds of CPU that the host took during each run."""
    # looked at before and after each run, and what it took counts in between
    looks = iter(accumulate(n for run in [*taken, *[0] * 9] for n in (0, 1_000 * run)))
    runs = count()
    assert undisturbed(3, lambda: next(runs), lambda: float(next(looks))) == kept
    assert next(runs) == measured
