"""What tenants have goes along, into a back-up and to another log: their topics, what is in them, their keys, what has
been delivered to whom, and which ids were seen. None gets what is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.migrate.tenants import TENANTS, Tenants, tenants
from tests.migrate.test_migrate import quiet
from typer.testing import CliRunner

from penstock.batch import SNAPSHOTS, SYSTEM, Batch, Write, column
from penstock.cli.main import app
from penstock.clock import ManualClock
from penstock.domains.messages import DomainTopicsAdded
from penstock.domains.state import DomainState
from penstock.log.embedded import EmbeddedLog
from penstock.log.memory import MemoryLog
from penstock.migrate import migrate as migrating
from penstock.migrate import models, translate
from penstock.migrate.migrate import End, migrate
from penstock.models.artifacts import Artifacts
from penstock.models.decide import RegistryState
from penstock.run.compose.backends import AppLog
from penstock.run.compose.bootstrap import SYSTEM_TOPIC, open_registry
from penstock.system.areas import Areas
from penstock.system.messages import to_rows
from penstock.system.owner import snapshot
from penstock.system.snapshots import SNAPSHOT_TOPIC

Move = Callable[[Path, Path], None]  # from one data directory to another


def backed_up(source: Path, target: Path) -> None:
    done = CliRunner().invoke(app, ["backup", str(target), "--data", str(source)])
    assert done.exit_code == 0, done.output


def migrated(source: Path, target: Path) -> None:
    done = CliRunner().invoke(app, ["migrate", "--from", f"sqlite:{source}", "--to", f"sqlite:{target}"])
    assert done.exit_code == 0, done.output


async def live(house: Tenants) -> None:
    """Before: events of each tenant, keys, a subscription put at run time, and one that is paused before the last."""
    house.issue_keys()
    put = {"source": "risks/beta", "to": "https://beta.example.com/in"}
    assert (await house.ask("operator", "PUT", "/subscriptions/beta", json=put)).status_code == 200
    await house.publish("acme", "0")
    await house.until(lambda: len(house.mailbox.got["all"]) == 1)  # the couriers are at work
    await house.publish("beta", "1")
    await house.publish("cask", "1")
    await house.publish("acme", "1")
    await house.until(lambda: len(house.mailbox.got["all"]) == 4 and len(house.mailbox.got["acme"]) == 2)
    await house.until(lambda: house.mailbox.got["beta"] == [("beta", "beta-1")])
    assert (await house.ask("operator", "POST", "/subscriptions/acme/pause")).status_code == 200
    await asyncio.sleep(0.2)
    await house.publish("acme", "2")
    await house.until(lambda: len(house.mailbox.got["all"]) == 5)
    await asyncio.sleep(1.5)  # the one that is paused gets a position of its own
    assert len(house.mailbox.got["acme"]) == 2


IDS = {"acme": ["acme-0", "acme-1", "acme-2"], "beta": ["beta-1"], "cask": ["cask-1"]}


async def check(house: Tenants) -> None:
    """After: all is as it was, and goes on."""
    answer = await house.ask("acme", "GET", "/domains/tx/topics")
    assert answer.status_code == 200, "a key opens nothing any more"
    for domain in ("tx", "risks"):
        listed = (await house.ask("operator", "GET", f"/domains/{domain}/topics")).json()["topics"]
        assert listed == list(TENANTS), "the domain's topics are not as they were"
        for tenant in TENANTS:
            assert await house.read(tenant, domain, tenant) == IDS[tenant], "a tenant's events are not as they were"
            shown = (await house.ask(tenant, "GET", f"/domains/{domain}/topics")).json()["topics"]
            assert shown == [tenant], "a tenant is told of others"
            for other in set(TENANTS) - {tenant}:
                answer = await house.ask(tenant, "GET", f"/domains/{domain}/topics/{other}/events")
                assert answer.status_code == 403, "a tenant reads another's events"
    assert (await house.publish("acme", "1")).status_code == 200
    assert await house.read("acme", "tx", "acme") == IDS["acme"], "a repeat was stored again"
    assert (await house.publish("cask", "0")).status_code == 200
    assert "cask-0" in await house.read("cask", "tx", "cask"), "another tenant's id was a repeat"
    assert (await house.publish("beta", "2")).status_code == 200
    await house.until(lambda: len(house.mailbox.got["all"]) >= 2 and len(house.mailbox.got["beta"]) >= 1)
    named = [each["name"] for each in (await house.ask("operator", "GET", "/subscriptions")).json()]
    assert named == ["all", "acme", "beta"]
    assert house.mailbox.got["acme"] == [], "one that was paused is not any more"
    assert (await house.ask("operator", "POST", "/subscriptions/acme/resume")).status_code == 200
    await house.publish("acme", "3")
    await house.until(lambda: ("acme", "acme-3") in house.mailbox.got["acme"])
    assert sorted(house.mailbox.got["all"]) == [("acme", "acme-3"), ("beta", "beta-2"), ("cask", "cask-0")]
    assert house.mailbox.got["beta"] == [("beta", "beta-2")]
    assert sorted(house.mailbox.got["acme"]) == [("acme", "acme-2"), ("acme", "acme-3")], (
        "it went on from another place"
    )


def lived(folder: Path, log: AppLog, keys: dict[str, str], case: Callable[[Tenants], Any]) -> None:
    async def go() -> None:
        folder.mkdir()
        async with tenants(folder, log, keys) as house:
            await case(house)

    asyncio.run(asyncio.wait_for(go(), 60))


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Path:
    """A data directory with all of that, which no run uses."""
    folder = tmp_path_factory.mktemp("tenants")
    with closing(EmbeddedLog(folder / "source")) as log:
        lived(folder / "before", log, keys, live)
    return folder / "source"


def check_moved(folder: Path, source: Path, keys: dict[str, str], move: Move) -> None:
    move(source, folder / "target")
    with closing(EmbeddedLog(folder / "target")) as log:
        lived(folder / "after", log, keys, check)


@pytest.mark.parametrize("move", [backed_up, migrated])
def test_tenants_find_everything_in_its_place(tmp_path: Path, source: Path, keys: dict[str, str], move: Move) -> None:
    check_moved(tmp_path, source, keys, move)


def test_also_where_positions_are_others(tmp_path: Path) -> None:
    """From a log with gaps: who is behind goes on with the same event."""
    keys: dict[str, str] = {}
    with closing(MemoryLog(gap=3)) as source, closing(EmbeddedLog(tmp_path / "target")) as target:
        lived(tmp_path / "before", source, keys, live)
        lines = migrate(end(source, tmp_path), end(target, tmp_path), quiet)
        assert [line for line in lines if not line.same] == []
        lived(tmp_path / "after", target, keys, check)


def end(log: AppLog, folder: Path) -> End:
    return End("log", log, Artifacts(folder / "artifacts"), owners=False)


def test_mutant_that_takes_the_domain_topic_from_elsewhere_is_caught(
    tmp_path: Path, source: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the comparison makes the same mistake."""
    in_place = translate._in_place

    def to_one(rows: pa.RecordBatch, columns: Any) -> pa.RecordBatch:
        found = in_place(rows, columns)
        at = found.schema.get_field_index("_topic")
        return found if at < 0 else found.set_column(at, "_topic", pa.repeat("acme", len(found)))

    monkeypatch.setattr(translate, "_in_place", to_one)
    with pytest.raises(AssertionError, match="a tenant's events are not as they were"):
        check_moved(tmp_path, source, keys, migrated)


def test_mutant_that_drops_the_column_is_caught(
    tmp_path: Path, source: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place = translate._in_place

    def without(rows: pa.RecordBatch, columns: Any) -> pa.RecordBatch:
        found = in_place(rows, columns)
        return found.select([name for name in found.schema.names if name != "_topic"])

    monkeypatch.setattr(translate, "_in_place", without)
    with pytest.raises(AssertionError, match="domain"):
        check_moved(tmp_path, source, keys, migrated)


def test_mutant_that_leaves_the_system_behind_is_caught(tmp_path: Path, source: Path, keys: dict[str, str]) -> None:
    def move(source: Path, target: Path) -> None:
        backed_up(source, target)
        with closing(EmbeddedLog(target)) as log:
            log.reset(SYSTEM_TOPIC)

    with pytest.raises(AssertionError, match="a key opens nothing any more"):
        check_moved(tmp_path, source, keys, move)


def test_mutant_that_forgets_the_domains_topics_is_caught(
    tmp_path: Path, source: Path, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison of the two systems sees it, also where that of the rows does not."""
    system = translate._system

    def emptied(find: translate.Translation, batch: Batch) -> pa.Array:
        texts = zip(column(batch.rows, "_type").to_pylist(), system(find, batch).to_pylist(), strict=True)
        nothing = '{"domain":"tx","names":[],"causationid":"c"}'
        return pa.array([nothing if kind == DomainTopicsAdded.TYPE else text for kind, text in texts])

    monkeypatch.setattr(translate, "_system", emptied)
    monkeypatch.setattr(migrating, "carry", lambda *given: None)  # which would make up for it
    with pytest.raises(AssertionError, match="system domains: known against another"):
        check_moved(tmp_path, source, keys, migrated)


# -- what only a snapshot tells -----------------------------------------------


def check_a_snapshot_is_carried(folder: Path) -> None:
    """No model is in it, and the events that named the topics are gone."""
    here, there = end(MemoryLog(gap=2), folder / "here"), end(EmbeddedLog(folder / "there"), folder / "there")
    with closing(there.log):
        for topic in (SYSTEM_TOPIC, SNAPSHOT_TOPIC):
            here.log.create(topic)
        here.log.append([Write(SYSTEM, 0, to_rows([DomainTopicsAdded(domain="tx", names=TENANTS, causationid="c")]))])
        with closing(open_registry(here.log, ManualClock(), "owner")) as registry:
            registry.refresh()
            parts, told = snapshot(registry.view)
        here.log.append([Write(SNAPSHOTS, 0, parts)])
        here.log.reset(SYSTEM_TOPIC)
        here.log.append([Write(SYSTEM, 0, told)])
        lines = migrate(here, there, quiet)
        assert [line.name for line in lines if not line.same] == [], "what a snapshot tells was left behind"
        with closing(open_registry(there.log, ManualClock(), "new")) as registry:
            registry.refresh()
            assert sorted(registry.view.areas.only(DomainState).names("tx")) == list(TENANTS)


def test_topics_that_only_a_snapshot_tells_of_arrive(tmp_path: Path) -> None:
    check_a_snapshot_is_carried(tmp_path)


def test_mutant_that_looks_at_the_models_alone_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    areas = models.areas
    monkeypatch.setattr(models, "areas", lambda log: Areas([areas(log).only(RegistryState)]))
    with pytest.raises(AssertionError, match="left behind"):
        check_a_snapshot_is_carried(tmp_path)
