"""Subscriptions to topics of a domain: each is found by its topic, however many there are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from penstock.batch import Batch, TopicSpec
from penstock.filters import domain_topic
from penstock.filters.access import Access
from penstock.filters.columns import EventColumns
from penstock.filters.domain_topic import OfDomainTopic
from penstock.filters.index import Matcher
from penstock.filters.lookups import LookedUp
from penstock.filters.where import parse

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])
TX = TopicSpec("tx", SCHEMA, 1, domain=True, source="/saas/tx")


def events(topics: list[str | None]) -> EventColumns:
    rows = pa.record_batch({"n": pa.array(range(len(topics)), pa.int64()), "_topic": pa.array(topics, pa.string())})
    places = np.arange(len(topics), dtype=np.int64)
    return EventColumns(Batch("tx", 0, places, places, rows), TX, "saas")


def check_each_gets_its_own(subscribed: list[str]) -> None:
    matcher = Matcher([*(OfDomainTopic(name, None) for name in subscribed), None, parse("n >= 2", SCHEMA)])
    rows, whose = matcher.match(events(["t1", "t7", "t1", "other"]))
    found = sorted(zip(rows.tolist(), whose.tolist(), strict=True))
    whole, large = len(subscribed), len(subscribed) + 1
    expected = [(row, subscribed.index(t)) for row, t in ((0, "t1"), (1, "t7"), (2, "t1")) if t in subscribed]
    expected += [(row, whole) for row in range(4)] + [(2, large), (3, large)]
    assert found == sorted(expected), "a subscription got another topic's events"


@pytest.mark.parametrize("count", [2, 10_000])
def test_each_topic_is_found_by_its_own_subscription(count: int) -> None:
    check_each_gets_its_own([f"t{n}" for n in range(count)])


def test_mutant_that_has_no_atom_of_its_topic_and_says_all_passes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain_topic, "Atom", lambda key, values: domain_topic_atom(key, ("t1",)))
    with pytest.raises(AssertionError, match="another topic's events"):
        check_each_gets_its_own([f"t{n}" for n in range(10)])


def domain_topic_atom(key: tuple[str, ...], values: tuple[str, ...]) -> object:
    from penstock.filters.interface import Atom

    return Atom(key, values)


def test_ten_thousand_subscriptions_are_no_candidates_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an event costs is what it is compared with."""
    seen: list[int] = []
    whole = Access.candidates

    def candidates(self: Access, found: LookedUp) -> object:
        pairs = whole(self, found)
        seen.append(len(pairs[0]))
        return pairs

    monkeypatch.setattr(Access, "candidates", candidates)
    Matcher([OfDomainTopic(f"t{n}", None) for n in range(10_000)]).match(events(["t1", "t7", "none"]))
    assert seen == [2]


def test_a_condition_of_its_own_is_asked_of_its_topic_alone() -> None:
    both = OfDomainTopic("acme", parse("n > 0", SCHEMA))
    found = events(["acme", "acme", "beta", None])
    assert both.mask(found).tolist() == [False, True, False, False]
    assert [row for row, _ in zip(*map(np.ndarray.tolist, Matcher([both]).match(found)), strict=True)] == [1]
    assert both.text != OfDomainTopic("acme", parse("n > 1", SCHEMA)).text != OfDomainTopic("b", both.others).text


def test_sql_names_the_topic_and_what_it_is_the_source_of() -> None:
    found = events(["acme", "beta"])
    assert parse("_topic = 'acme'", SCHEMA).mask(found).tolist() == [True, False]
    assert parse("_source = '/saas/tx/beta'", SCHEMA).mask(found).tolist() == [False, True]
    assert parse("_topic IS NULL", SCHEMA).mask(found).tolist() == [False, False]
