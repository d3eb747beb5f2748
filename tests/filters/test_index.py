"""The index finds what every predicate says of every event, whatever was added and removed before."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.filters import conditions
from tests.filters.atoms import Asking
from tests.filters.eventgrid.generated import some_filter, some_source
from tests.filters.events import Row, as_json, batch_of, columns_of

from penstock.batch import TopicSpec
from penstock.errors import FilterInvalid
from penstock.filters import access, comparing, growing, index, lookups
from penstock.filters.columns import EventColumns
from penstock.filters.eventgrid.predicate import FilterPredicate
from penstock.filters.index import Matcher
from penstock.filters.interface import Atom, Predicate
from penstock.filters.where import parse

UNTYPED = TopicSpec("notes")
TYPED = TopicSpec("t", pa.schema([("n", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("b", pa.bool_())]))
TEXTS = ["", "a", "A", "ab", "Ab", "abc", "b", "ß", "İx", "i"]
NUMBERS = [-(2.0**53), -1.0, 0.0, 1.0, 2.5, 3.0, 2.0**53, 1e300]


def agreed(matcher: Matcher, predicates: dict[int, Predicate | None], events: EventColumns) -> int:
    """How many pairs it finds, once it has been seen that they are those that the predicates say."""
    rows, subscriptions = matcher.match(events)
    assert rows.dtype == subscriptions.dtype == np.int64
    found = Counter(zip(rows.tolist(), subscriptions.tolist(), strict=True))
    expected = set()
    for number, predicate in predicates.items():
        passed = np.ones(len(events), np.bool_) if predicate is None else predicate.mask(events)
        expected |= {(int(row), number) for row in np.flatnonzero(passed)}
    assert not expected - set(found), f"missed: {sorted(expected - set(found))[:5]}"
    assert not set(found) - expected, f"too many: {sorted(set(found) - expected)[:5]}"
    assert max(found.values(), default=1) == 1, "found twice"
    return len(found)


def fresh(events: EventColumns) -> EventColumns:
    """The same events, of which nothing is known yet."""
    return EventColumns(events._batch, events._topic, "shop")


# -- atoms ------------------------------------------------------------------------

keys = st.sampled_from([("data", "n"), ("data", "f"), ("data", "s"), ("data", "b"), ("type",), ("subject",), ("ext",)])
numbers = st.sampled_from(NUMBERS)
values = st.one_of(st.sampled_from(TEXTS), numbers, st.booleans())


@st.composite
def atoms(draw: st.DrawFn) -> Atom:
    key, folded = draw(keys), draw(st.booleans())
    kind = draw(st.sampled_from(["values", "prefixes", "both", "suffixes", "range", "above", "below", "any"]))
    if kind == "suffixes":
        ends = draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3))
        return Atom(key, suffixes=tuple(ends), folded=folded)
    if kind in ("values", "prefixes", "both"):
        wanted = draw(st.lists(values, min_size=1, max_size=4)) if kind != "prefixes" else []
        prefixes = draw(st.lists(st.sampled_from(TEXTS), min_size=1, max_size=3)) if kind != "values" else []
        return Atom(key, tuple(wanted), tuple(prefixes), folded=folded)
    low = draw(numbers) if kind in ("range", "above") else -np.inf
    high = draw(numbers) if kind in ("range", "below") else np.inf
    return Atom(key, low=low, high=high, low_in=draw(st.booleans()), high_in=draw(st.booleans()))


@st.composite
def predicates(draw: st.DrawFn) -> Predicate | None:
    of = draw(st.lists(atoms(), max_size=3))
    letter = draw(st.sampled_from(["", "", "a", "b"]))
    return draw(st.sampled_from([None, *[Asking(f"{of} {letter}", tuple(of), letter)] * 12]))


@st.composite
def rows(draw: st.DrawFn, typed: bool) -> Row:
    def maybe(strategy: st.SearchStrategy[Any]) -> Any:
        return draw(st.one_of(st.none(), strategy))

    envelope = {
        "_id": draw(st.sampled_from(["a", "b", "ab", "c"])),
        "_type": maybe(st.sampled_from(TEXTS)),
        "_subject": maybe(st.sampled_from(TEXTS)),
        "_extensions": maybe(st.sampled_from(['{"ext":"a"}', '{"ext":"AB"}', '{"ext":1}', '{"ext":true}'])),
    }
    if typed:
        whole = st.sampled_from([0, 1, 3, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1])
        fractions = st.sampled_from([*NUMBERS, float("nan"), float("inf")])
        own = {"n": maybe(whole), "f": maybe(fractions), "s": maybe(st.sampled_from(TEXTS)), "b": maybe(st.booleans())}
        return own | envelope
    mixed = st.one_of(values, st.none(), st.just([1]), st.just({"a": 1}))
    return as_json({name: draw(mixed) for name in draw(st.sets(st.sampled_from("nfsb")))}, **envelope)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_it_finds_what_each_atom_says(data: st.DataObject) -> None:
    typed = data.draw(st.booleans())
    topic = TYPED if typed else UNTYPED
    asking = dict(enumerate(data.draw(st.lists(predicates(), max_size=8))))
    matcher = Matcher(list(asking.values()))
    assert len(matcher) == len(asking)
    for _ in range(2):
        events = columns_of(batch_of(topic, data.draw(st.lists(rows(typed), min_size=1, max_size=10))), topic)
        agreed(matcher, asking, events)


def by_filters(seed: int, rounds: int) -> int:
    """Filters at random, added and removed between two batches, on both kinds of topic: how many pairs were found."""
    of, found = random.Random(seed), 0
    for number in range(rounds):
        topic, schema, row = some_source(of, typed=number % 2 == 0)
        of_all: dict[int, Predicate | None] = {}
        matcher = Matcher()
        for _ in range(8):
            for subscription in of.sample(sorted(of_all), of.randint(0, len(of_all))):
                matcher.remove(subscription)
                del of_all[subscription]
            for subscription in of.sample(range(100, 200), of.randint(0, 40)):
                if subscription not in of_all:
                    of_all[subscription] = None if of.random() < 0.03 else FilterPredicate(some_filter(of), schema)
                    matcher.add(subscription, of_all[subscription])
            events = columns_of(batch_of(topic, [row() for _ in range(of.choice([1, 3, 40]))]), topic)
            found += agreed(matcher, of_all, events)
            found += agreed(matcher, of_all, fresh(events))
        assert len(matcher) == len(of_all)
    return found


def test_it_finds_what_filters_say_whatever_came_and_went() -> None:
    assert by_filters(3, 30) > 20_000


@settings(max_examples=100, deadline=None)
@given(st.lists(conditions.conditions, max_size=8), conditions.rows, st.booleans())
def test_it_finds_what_wheres_say(texts: list[str], rows: list[Row], whole: bool) -> None:
    asking: dict[int, Predicate | None] = {}
    for number, text in enumerate(texts):
        with suppress(FilterInvalid):  # of two texts that are compared, say
            asking[number] = parse(text, conditions.SCHEMA)
    matcher = Matcher()
    for number, predicate in asking.items():
        matcher.add(number, predicate)
    events = conditions.typed(rows if whole else rows[:1])
    agreed(matcher, asking, events)


def few(**asked: Any) -> Asking:
    atom = Atom(**asked)
    return Asking(str(atom), (atom,))


def test_equal_predicates_are_one() -> None:
    calls = []

    class Counting(Asking):
        def mask(self, events: EventColumns) -> Any:
            calls.append(len(events))
            return super().mask(events)

    same = [Counting("same", (Atom(("type",), ("a",)),), "x") for _ in range(50)]
    events = columns_of(batch_of(UNTYPED, [as_json(1, _type=t, _id="x") for t in "abcdefghab"]), UNTYPED)
    found, subscriptions = Matcher(same).match(events)
    assert calls == [2]  # the events that have the type
    assert sorted(zip(found.tolist(), subscriptions.tolist(), strict=True)) == [
        (r, s) for r in (0, 8) for s in range(50)
    ]


def test_a_subscription_is_there_once_and_known_when_it_goes() -> None:
    matcher = Matcher([None, few(key=("type",), values=("a",))])
    for number in (0, 1):
        with pytest.raises(ValueError, match=f"there is a subscription {number} already"):
            matcher.add(number, None)
    matcher.remove(0)
    matcher.remove(1)
    with pytest.raises(KeyError, match="1"):
        matcher.remove(1)
    rows, subscriptions = matcher.match(columns_of(batch_of(UNTYPED, [as_json(1, _type="a")]), UNTYPED))
    assert len(rows) == len(subscriptions) == 0


def come_and_go() -> None:
    """5,000 subscriptions, ten at a time."""
    matcher = Matcher()
    anew = 0
    for number in range(5_000):
        matcher.add(number, few(key=("subject",), prefixes=(f"device/{number}/",)))
        before = matcher._access
        if number >= 10:
            matcher.remove(number - 10)
        anew += matcher._access is not before
    assert anew == 4
    assert len(matcher._inexact) < 1_100
    events = columns_of(
        batch_of(UNTYPED, [as_json(1, _subject=f"device/{n}/x") for n in (4_989, 4_990, 4_999)]), UNTYPED
    )
    assert matcher.match(events)[1].tolist() == [4_990, 4_999]
    assert len(matcher._access.candidates(lookups.LookedUp(events))[0]) == 2, "a candidate that went"


def test_nothing_is_left_of_what_went() -> None:
    """Else an app whose subscriptions come and go would grow for ever."""
    come_and_go()


def test_mutant_an_index_that_forgets_nobody_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access.Access, "remove", lambda *_: None)
    with pytest.raises(AssertionError, match="a candidate that went"):
        come_and_go()


def candidates(asking: Sequence[Predicate], events: EventColumns) -> int:
    return len(Matcher(asking)._access.candidates(lookups.LookedUp(events))[0])


def test_candidates_are_few_whatever_is_asked_first() -> None:
    everybody = Atom(("type",), ("t",))
    events = columns_of(batch_of(TYPED, [{"n": 50, "f": 50.5, "s": "device/50/x", "_type": "t"}]), TYPED)
    kinds: dict[str, Callable[[int], Atom]] = {
        "values": lambda n: Atom(("data", "n"), (float(n), float(n + 1))),
        "prefixes": lambda n: Atom(("data", "s"), (), (f"device/{n}/",)),
        "suffixes": lambda n: Atom(("data", "s"), suffixes=(f"/{n}/x",)),
        "ranges": lambda n: Atom(("data", "f"), low=n, high=n + 1),
    }
    for name, narrow in kinds.items():
        for order in (1, -1):
            asking = [Asking(str(n), [everybody, narrow(n)][::order]) for n in range(1_000)]
            assert 1 <= candidates(asking, events) <= 6, name


# -- mutants ------------------------------------------------------------------------


def met_always(_: Any, __: Any, rows: Any, ___: Any) -> Any:
    return np.ones(len(rows), np.bool_)


def mutants() -> Iterator[tuple[str, Any, str, Any, str]]:
    places = access.Access._places
    yield "one value of several", access.Access, "_places", lambda *a: (places(*a)[0], places(*a)[1][:1]), "missed"
    yield "a range is taken for met", access.Access, "_places", lambda *a: (True, places(*a)[1]), "too many"
    yield "atoms are not compared", comparing.Comparing, "met", met_always, "too many"
    yield "masks are not asked", index.Matcher, "_by_masks", lambda _, events, pairs: pairs, "too many"
    yield "what is removed stays", growing.GrowingLists, "remove", lambda *_: None, "too many"
    yield "prefixes of prefixes", access, "asked", prefixes_of_prefixes, "found twice"
    yield "no case", lookups, "fold", lambda texts: texts, "missed"
    yield (
        "true is 1",
        lookups,
        "isinstance",
        lambda v, kind: kind is not bool and isinstance(v, kind),
        "missed",
    )


def prefixes_of_prefixes(atom: Atom) -> Any:
    found = lookups.asked(atom)
    return found and list(dict.fromkeys([*found, *((atom.key, w[1], len(p), p) for w in found for p in atom.prefixes)]))


def differences() -> None:
    """Hand-made, so that each kind of mistake shows; then at random."""
    asking: dict[int, Predicate | None] = dict(
        enumerate(
            [
                few(key=("type",), values=("a", "b", 1.0)),
                few(key=("type",), values=("AB",), prefixes=("a", "ab"), folded=True),
                few(key=("type",), suffixes=("b", "ab"), folded=True),
                few(key=("data", "f"), low=1.0, high=3.0, high_in=False),
                few(key=("data", "n"), low=2.0**53, low_in=False),
                few(key=("data", "b"), values=(True,)),
                few(key=("data", "n"), values=(1.0,)),
                Asking("two", (Atom(("type",), ("a",)), Atom(("data", "b"), (True,)))),
                Asking("two and more", (Atom(("type",), ("b",)),), "b"),
            ]
        )
    )
    rows = [
        {"n": n, "f": f, "b": b, "_type": t, "_id": i}
        for n in (1, 2**53, 2**53 + 1)
        for f in (1.0, 2.0, 3.0, 4.0)
        for b in (True, False)
        for t in ("a", "b", "ab", "AB")
        for i in "ab"
    ]
    matcher, events = Matcher(list(asking.values())), columns_of(batch_of(TYPED, rows), TYPED)
    agreed(matcher, asking, events)
    for number in (0, 3):
        matcher.remove(number)
        del asking[number]
    agreed(matcher, asking, fresh(events))


def test_without_a_mutant_nothing_differs() -> None:
    differences()


@pytest.mark.parametrize(("owner", "name", "other", "said"), [m[1:] for m in mutants()], ids=[m[0] for m in mutants()])
def test_mutant_of_the_index_is_caught(
    owner: Any, name: str, other: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, other, raising=False)
    with pytest.raises(AssertionError, match=said):
        differences()


def test_mutant_integers_compared_as_floats_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = lookups.LookedUp.numbers

    def as_floats(found: lookups.LookedUp, key: Any) -> Any:
        numbers = whole(found, key)
        return None if numbers is None else (numbers[0].astype(np.float64), numbers[1])

    monkeypatch.setattr(lookups.LookedUp, "numbers", as_floats)
    with pytest.raises(AssertionError, match="missed"):
        differences()
