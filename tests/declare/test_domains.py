"""Domains as an app's file declares them, and what is refused of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

import penstock as ps
from penstock import testing
from penstock.declare.checking.graph import as_text
from penstock.declare.planning.build import plan_of, resolve
from penstock.errors import DeclarationError, InvalidEvent, NotFound


@dataclass
class Tx:
    id: str
    amount: float


@dataclass
class Risk:
    id: str
    risk: float


def saas() -> tuple[ps.App, ps.Domain[Tx], ps.Domain[Risk]]:
    app = ps.App("saas")
    tx, risks = app.domain("tx", Tx, key="id"), app.domain("risks", Risk, key="id")
    app.score(tx, app.model("risk", outputs=["risk"], inputs=["amount"]), to=risks, keep=["id"])
    app.subscribe(risks, "https://all.example/hook")
    app.subscribe(risks["acme"], "https://acme.example/hook", where="risk > 0.9")
    return app, tx, risks


def test_the_plan_has_domains_and_topics_of_them() -> None:
    app, _, _ = saas()
    plan = resolve(app).plan
    assert {name: spec.domain for name, spec in plan.domains.items()} == {"tx": True, "risks": True}
    every, acme = plan.subscriptions
    assert (every.name, every.domain_topic) == ("risks-to-all-example", None)
    assert (acme.name, acme.source, acme.domain_topic) == ("risks-acme-to-acme-example", "risks", "acme")
    assert acme.options["source"] == "risks/acme"
    drawn = as_text(plan)
    assert "risks/acme ──▶ [risks-acme-to-acme-example]" in drawn and "domain · 4 partitions" in drawn


def test_a_model_scores_each_event_within_its_topic() -> None:
    app, tx, risks = saas()
    with testing.run(app, models={"risk": lambda rows: rows.select(risk=pl.col("amount") / 100)}) as t:
        t.publish(tx["acme"], Tx("a", 90.0), Tx("b", 10.0))
        t.publish(tx["beta"], Tx("c", 50.0))
        t.settle()
        assert sorted(risk.id for risk in t.read(risks["acme"])) == ["a", "b"]
        assert t.read(risks["beta"]) == [Risk("c", 0.5)] and t.read(risks["none"]) == []
        assert len(t.read(risks)) == 3
        with pytest.raises(InvalidEvent, match=r"tx\['acme'\]"):
            t.publish(tx, Tx("d", 1.0))
        with pytest.raises(NotFound):
            t.publish(ps.App("other").domain("else", Tx)["acme"], Tx("d", 1.0))


def test_a_function_is_told_the_topic_and_a_subscription_forwards_it() -> None:
    app = ps.App("saas")
    tx, kept, told = app.domain("tx", Tx), app.domain("kept", Tx), app.topic("told")
    app.subscribe(tx["acme"], kept, start="earliest")

    @app.on(tx, to=told)
    def tell(event: ps.Event[Tx]) -> dict[str, Any]:
        return {"topic": event.domain_topic, "source": event.source}

    with testing.run(app) as t:
        t.publish(tx["acme"], Tx("a", 1.0))
        t.settle()
        assert t.read(told) == [{"topic": "acme", "source": "/saas/tx/acme"}]


def test_a_dead_letter_that_is_put_back_keeps_its_topic() -> None:
    from penstock.batch import DEAD
    from penstock.gateway.letters import LetterFilter, Letters

    app = ps.App("saas")
    tx, risks = app.domain("tx", Tx), app.domain("risks", Risk)
    good = False

    @app.on(tx, to=risks)
    def judge(t: Tx) -> Risk:
        if not good:
            raise ValueError("not yet")
        return Risk(t.id, t.amount)

    with testing.run(app) as t:
        t.publish(tx["acme"], Tx("a", 1.0))
        t.publish(tx["beta"], Tx("b", 1.0))
        t.settle()
        t.advance("1h")
        assert len(t.dead(tx)) == 2
        good = True
        letters = Letters(t._log, t._composition.plan)
        assert letters.redrive(LetterFilter(), rounds=3, most=10, dry=False).count == 2
        t.advance("1m")
        assert (t.read(risks["acme"]), t.read(risks["beta"])) == ([Risk("a", 1.0)], [Risk("b", 1.0)])
        assert all(batch.rows.schema.get_field_index("_topic") < 0 for batch in t._batches(DEAD))


@pytest.mark.parametrize(
    "name", ["models", "subscriptions", "dead", "keys", "health", "penstock", "-tx", "penstock.x", ""]
)
def test_names_that_no_domain_has(name: str) -> None:
    with pytest.raises(DeclarationError, match="cannot be the name of a domain"):
        ps.App("saas").domain(name, Tx)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a/b", "a*", "x" * 65, "é", "a\n", 7, ps.env("T")])
def test_names_that_no_domain_topic_has(name: Any) -> None:
    with pytest.raises(DeclarationError, match="cannot be the name of a domain topic"):
        ps.App("saas").domain("tx", Tx)[name]


@pytest.mark.parametrize("name", ["a", "acme", "Acme-2", "a_b.c", "x" * 64, "0"])
def test_names_that_a_domain_topic_has(name: str) -> None:
    assert ps.App("saas").domain("tx", Tx)[name].name == name


def test_a_domain_is_no_sequence_of_topics() -> None:
    with pytest.raises(TypeError):
        list(ps.App("saas").domain("tx", Tx))  # type: ignore[call-overload]


def test_from_a_plain_topic_to_a_domain_the_topic_has_to_be_said() -> None:
    app = ps.App("saas")
    orders, tx = app.topic("orders", Tx), app.domain("tx", Tx)
    app.subscribe(orders, tx, name="lost")
    app.subscribe(ps.ModelRegistered, app.domain("told"), name="system")
    app.subscribe(orders, tx["orders"], name="said")

    @app.on(orders, to=tx["other"])
    def send(t: Tx) -> Tx:
        return t

    errors = [finding for finding in resolve(app).findings if "no domain topic" in str(finding)]
    assert len(errors) == 2 and "tx['acme']" in str(errors[0])
    assert [s.to_topic for s in resolve(app).plan.subscriptions] == [None, None, "orders"]
    assert resolve(app).plan.stages[0].to_topic == "other"


def test_a_stage_takes_a_whole_domain() -> None:
    app = ps.App("saas")
    tx = app.domain("tx", Tx)
    with pytest.raises(DeclarationError, match="takes a whole domain"):
        app.on(tx["acme"])
    with pytest.raises(DeclarationError, match="takes a whole domain"):
        app.score(tx["acme"], app.model("m", outputs=["y"]), to=tx)


def test_two_topics_of_one_name_are_told_also_where_one_is_a_domain() -> None:
    app = ps.App("saas")
    app.topic("tx", Tx)
    app.domain("tx", Tx)
    with pytest.raises(DeclarationError, match="two topics are called 'tx'"):
        plan_of(app)
