"""``python -m bench.matching``: what it costs to find the subscriptions of an event, by how many there are.

No two subscriptions ask for the same, and about ten match each event. CPU microseconds of one process for an event: in
batches of 1,000, of 100 and of one, each the best of several runs, with all that is done once a batch.
"""

import gc
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from penstock.batch import Batch, TopicSpec
from penstock.filters.columns import EventColumns
from penstock.filters.eventgrid import AdvancedFilter, Filter
from penstock.filters.eventgrid.predicate import FilterPredicate
from penstock.filters.index import Matcher

TOPIC = TopicSpec("payments", pa.schema([("amount", pa.float64()), ("country", pa.string())]))
MATCHES = 10
SIZES = 1_000, 100, 1
RUNS = 5
CHANGES = 1_000

Make = Callable[[int, int], Filter]  # the filter of a subscription, by its number and how many there are


def by_device(number: int, total: int) -> Filter:
    amount = AdvancedFilter("NumberGreaterThan", "data.amount", value=-1 - number / total)
    return Filter(subject_begins_with=f"devices/{number % (total // MATCHES):06d}/", advanced=[amount])


def by_more(number: int, total: int) -> Filter:
    device = by_device(number, total)
    countries = AdvancedFilter("StringIn", "data.country", [f"c{n}" for n in range(24)])
    types = [f"dev.t{n}" for n in range(20)]
    return Filter(types, device.subject_begins_with, advanced=[*device.advanced, countries])


def by_amount(number: int, total: int) -> Filter:
    low = number * 100 / total
    return Filter(advanced=[AdvancedFilter("NumberInRange", "data.amount", [[low, low + 100 * MATCHES / total]])])


def by_part(number: int, total: int) -> Filter:
    """No atom says what a text has in it: that is compared for the candidates, one predicate after the other."""
    part = AdvancedFilter("StringContains", "subject", [f"/{number % 10}"])
    return Filter(subject_begins_with=by_device(number, total).subject_begins_with, advanced=[part])


def batch_of(count: int, devices: int, seed: int) -> Batch:
    of = np.random.default_rng(seed)
    subjects = zip(of.integers(0, devices, count), of.integers(0, 10, count), strict=True)
    columns = {
        "amount": of.random(count) * 100,
        "country": pa.array([f"C{n}" for n in of.integers(0, 50, count)]),
        "_type": pa.array([f"dev.t{n}" for n in of.integers(0, 20, count)]),
        "_subject": pa.array([f"devices/{device:06d}/{n}" for device, n in subjects]),
    }
    positions = np.arange(count, dtype=np.int64)
    return Batch("payments", 0, positions, positions, pa.RecordBatch.from_pydict(columns))


def us_an_event(matcher: Matcher, devices: int, size: int) -> tuple[float, float]:
    """And how many subscriptions matched."""
    batches = [batch_of(size, devices, seed) for seed in range(min(200, 20_000 // size))]
    events, best, pairs = size * len(batches), float("inf"), 0
    for _ in range(RUNS):
        began = time.process_time()
        pairs = sum(len(matcher.match(EventColumns(batch, TOPIC, "shop"))[0]) for batch in batches)
        best = min(best, time.process_time() - began)
    return best / events * 1e6, pairs / events


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def us_each(act: Callable[[int], None], count: int) -> float:
    began = time.process_time()
    for number in range(count):
        act(number)
    return (time.process_time() - began) / count * 1e6


def measure(name: str, make: Make, totals: Sequence[int]) -> None:
    heads = ("1,000", 7), ("ratio", 6), ("100", 6), ("one", 6), ("match", 6), ("add", 6), ("remove", 6), ("MiB", 6)
    print(f"{name}\n{'':10} {' '.join(f'{head:>{width}}' for head, width in heads)}")
    base = None
    for total in totals:
        gc.collect()
        before, matcher = resident_mib(), Matcher()
        predicates = [FilterPredicate(make(number, total), TOPIC.schema) for number in range(total)]
        added = us_each(lambda number, all=predicates, to=matcher: to.add(number, all[number]), total)  # type: ignore[misc]
        grown = resident_mib() - before
        (whole, match), (hundred, _), (one, _) = (us_an_event(matcher, total // MATCHES, size) for size in SIZES)
        removed = us_each(matcher.remove, min(total, CHANGES))
        base = base or whole
        print(
            f"{total:10,} {whole:7.2f} {whole / base:6.2f} {hundred:6.1f} {one:6.0f} {match:6.1f} {added:6.0f} "
            f"{removed:6.0f} {grown:6.0f}",
            flush=True,
        )


def main() -> None:
    measure("a beginning of the subject, and an amount", by_device, (100, 10_000, 100_000))
    measure("the same, 20 types and 24 countries", by_more, (100, 10_000))
    measure("a range of amounts", by_amount, (100, 10_000, 100_000))
    measure("a beginning of the subject, and a part", by_part, (100, 1_000))


if __name__ == "__main__":
    main()
