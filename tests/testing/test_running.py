from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pytest

import penstock as ps
from penstock import testing
from penstock.errors import DeclarationError, InvalidEvent, NotFound, PenstockError


@dataclass
class Order:
    id: str
    amount: float


@dataclass
class Priced:
    id: str
    amount: float
    rate: float


@dataclass
class Risk:
    id: str
    score: float


@dataclass
class Rate:
    value: float


def declared() -> tuple[ps.App, ps.Topic[Order], ps.Topic[Risk]]:
    app = ps.App("shop")
    orders = app.topic("orders", Order, key="id")
    priced = app.topic("priced", Priced)
    risks = app.topic("risks", Risk)

    @app.resource
    def rate(at: str = ps.env("RATE")) -> Iterator[Rate]:
        yield Rate(float(at))

    @app.on(orders, to=priced)
    def price(rows: pl.DataFrame, rate: Rate) -> pl.DataFrame:
        if (rows["amount"] < 0).any():
            raise ps.Reject("an order costs something", rows=rows["amount"] < 0)
        return rows.with_columns(rate=pl.lit(rate.value))

    risk = app.model("risk", outputs=["score"])
    app.score(priced, risk, to=risks, keep=["id"])
    return app, orders, risks


def by_rate(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(score=pl.col("amount") * pl.col("rate"))


def test_events_go_through_every_stage() -> None:
    app, orders, risks = declared()
    with testing.run(app, models={"risk": by_rate}, env={"RATE": "2"}) as t:
        t.publish(orders, Order("a", 1.0), Order("b", 2.5))
        assert t.read(risks) == []
        t.settle()
        assert sorted(t.read(risks), key=lambda r: r.id) == [Risk("a", 2.0), Risk("b", 5.0)]
        t.publish(orders, *(Order(str(i), i) for i in range(500)))
        t.settle()
        assert len(t.read(risks)) == 502 and t.dead(orders) == []


def test_a_resource_is_given_by_its_type() -> None:
    app, orders, risks = declared()
    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(10.0)}) as t:
        t.publish(orders, Order("a", 1.0))
        t.settle()
        assert t.read(risks) == [Risk("a", 10.0)]


def test_a_rejected_row_is_a_dead_letter_and_the_others_go_on() -> None:
    app, orders, risks = declared()
    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        t.publish(orders, Order("good", 1.0), Order("bad", -1.0))
        t.settle()
        assert [r.id for r in t.read(risks)] == ["good"]
        (letter,) = t.dead(orders)
        assert letter.stage == "price" and "costs something" in letter.reason
        assert (letter.key, letter.data) == ("bad", {"id": "bad", "amount": -1.0})  # the key is a column of the topic


def test_without_a_version_the_scorer_waits_and_settle_returns() -> None:
    app, orders, risks = declared()
    with testing.run(app, resources={Rate: Rate(1.0)}) as t:
        t.publish(orders, Order("a", 1.0))
        t.settle()
        t.advance("1h")
        assert t.read(risks) == [] and t.dead(orders) == []
        assert "no version" in t.waiting()["risks"]


def test_a_dependency_that_is_away_holds_until_it_is_back() -> None:
    app = ps.App("calls")
    orders = app.topic("orders", Order)
    seen: list[str] = []
    away = True

    @app.on(orders)
    def call(order: Order) -> None:
        if away:
            raise ps.Unavailable("the bank is closed")
        seen.append(order.id)

    with testing.run(app) as t:
        t.publish(orders, Order("a", 1.0))
        t.settle()
        assert seen == [] and "bank is closed" in t.waiting()["call"]
        away = False
        t.advance("1m")
        assert seen == ["a"] and t.waiting() == {} and t.dead(orders) == []


def test_system_events_reach_their_function() -> None:
    app = ps.App("learns")
    orders = app.topic("orders", Order)
    risks = app.topic("risks", Risk)
    risk = app.model("risk", outputs=["score"])
    app.score(orders, risk, to=risks, keep=["id"])
    seen: list[int] = []

    @app.on(ps.ModelRegistered, where="model = 'risk'")
    def evaluate(new: ps.ModelRegistered) -> None:
        seen.append(new.version)

    with testing.run(app, models={"risk": lambda rows: rows.select(score=pl.col("amount"))}) as t:
        t.settle()
        assert seen == [1]


def test_a_deployment_is_told_once_for_all_partitions() -> None:
    app, orders, _ = declared()
    seen: list[ps.ModelDeployed] = []

    @app.on(ps.ModelDeployed, where="stage = 'risks'")
    def deployed(new: ps.ModelDeployed) -> None:
        seen.append(new)

    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        t.publish(orders, *(Order(str(n), 1.0) for n in range(40)))
        t.settle()
        assert seen == [ps.ModelDeployed("risks", "priced", "risk", 1, "champion", 1)]


def test_dead_letters_reach_their_function_and_its_own_do_not() -> None:
    app, orders, _ = declared()
    seen: list[ps.EventDeadLettered] = []
    calls: list[ps.EventDeadLettered] = []

    @app.on(ps.EventDeadLettered)
    def mourn(letter: ps.EventDeadLettered) -> None:
        seen.append(letter)

    @app.on(ps.EventDeadLettered, where="error = 'Reject'")
    def fail(letter: ps.EventDeadLettered) -> None:
        calls.append(letter)
        raise ps.Reject("not this one either")

    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        t.publish(orders, Order("a", 1.0), Order("b", -1.0))
        t.settle()
        (letter,) = seen
        (dead,) = t.dead(orders)
        assert (letter.stage, letter.reason, letter.attempts) == ("price", "an order costs something", dead.attempts)
        assert (letter.partition, letter.offset, letter.id) == (dead.partition, dead.offset, dead.id)
        assert (letter.topic, letter.key, letter.subject) == ("orders", "b", None)
        assert calls == [letter], "it fails at its own failures"


def test_an_event_of_another_shape_is_refused_as_at_the_door() -> None:
    app, orders, _ = declared()
    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        with pytest.raises(InvalidEvent, match="amount"):
            t.publish(orders, Order("a", "much"))  # type: ignore[arg-type]
        t.settle()
        assert t.dead(orders) == []


def test_an_app_that_could_not_run_is_refused() -> None:
    app, _, _ = declared()
    with pytest.raises(DeclarationError, match="RATE"), testing.run(app, models={"risk": by_rate}):
        pass
    given: dict[type, Rate] = {Rate: Rate(1.0)}
    with (
        pytest.raises(DeclarationError, match="no such model"),
        testing.run(app, models={"other": by_rate}, resources=given),
    ):
        pass


def test_a_topic_without_a_type_is_read_as_dicts() -> None:
    app, orders, _ = declared()
    notes = app.topic("notes")
    made = app.topic("made")  # its columns are what double returns

    @app.on(orders, to=made)
    def double(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select("id", twice=pl.col("amount") * 2)

    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        t.publish(orders, Order("a", 1.0))
        t.publish(notes, {"any": ["thing", 1, None]}, {"other": 2.5})
        t.settle()
        assert t.read(made) == [{"id": "a", "twice": 2.0}]
        assert sorted(t.read(notes), key=str) == [{"any": ["thing", 1, None]}, {"other": 2.5}]


def test_a_topic_of_another_app_is_refused_by_name() -> None:
    app, _, _ = declared()
    stranger = ps.App("other").topic("elsewhere", Order)
    with testing.run(app, models={"risk": by_rate}, resources={Rate: Rate(1.0)}) as t:
        for ask in (lambda: t.read(stranger), lambda: t.dead(stranger), lambda: t.publish(stranger, Order("a", 1.0))):
            with pytest.raises(NotFound, match=r"'elsewhere'.*there are: orders, priced, risks"):
                ask()


def test_what_never_settles_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.testing import running

    monkeypatch.setattr(running, "ROUNDS", 20)
    app = ps.App("echo")
    orders = app.topic("orders", Order)

    @app.on(orders)
    def see(order: Order) -> None:
        t.publish(orders, order)

    with testing.run(app) as t:
        t.publish(orders, Order("a", 1.0))
        with pytest.raises(PenstockError, match="these stages go on: see"):
            t.settle()


def test_the_names_are_there_and_others_are_not() -> None:
    assert all(map(callable, (testing.LogContract, testing.RuntimeContract, testing.assert_rowwise)))
    with pytest.raises(AttributeError, match="nonsense"):
        testing.nonsense  # noqa: B018
