"""Who shows a key may do what its rights say, at each door; who shows none that holds learns nothing."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from tests.access.oidc.issuers import LoopbackIssuer, key, loopback_issuer, token

from penstock.access import keys
from penstock.access.audit import AUDIT, AUDIT_TOPIC, Audit, faults, read
from penstock.access.issuing import issue, revoke
from penstock.access.oidc.tokens import Tokens
from penstock.access.rights import Rights
from penstock.access.state import KeyState
from penstock.clock import ManualClock
from penstock.errors import BadRequest, Unauthorized
from penstock.gateway import access
from penstock.gateway.access import AccessAdmission
from penstock.gateway.app import Gateway, is_open
from penstock.gateway.principal import Principal
from penstock.gateway.routes import EACH, ROUTES, Route

EVENT = {"flight": 1, "tail": "N1", "delay": 2.5}
WHERE = "/topics/flights/events"
DAY_S = 86_400.0  # seconds


class Doors:
    """A house whose doors want keys."""

    def __init__(self, h: Any) -> None:
        self.h, self.clock = h, ManualClock(h.services.clock.now())
        self.log, self.view = h.log, h.services.registry.view
        self.log.create(AUDIT_TOPIC)
        self.audit = Audit(self.log, self.clock, "gateway")
        services = replace(h.services, clock=self.clock, audit=self.audit)
        gateway = Gateway(services, admit=AccessAdmission(self.view.areas.only(KeyState), self.clock))
        transport = httpx.ASGITransport(gateway, client=("10.1.2.3", 9))
        self.http = httpx.AsyncClient(transport=transport, base_url="https://penstock.example")

    def key(self, allow: str, name: str = "acme", days: float | None = None) -> str:
        return issue(self.log, self.view, self.clock, name, allow, days=days, by="test").key

    async def ask(self, key: str | None = None, path: str = WHERE, **given: Any) -> httpx.Response:
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        method = given.pop("method", "POST" if path == WHERE else "GET")
        given = given or ({"json": EVENT} if method == "POST" and path == WHERE else {})
        return await self.http.request(method, path, headers={**headers, **given.pop("headers", {})}, **given)

    def told(self) -> list[tuple[str, str, int, str]]:
        """By the audit: who, what was asked for, the answer, and why."""
        self.audit.write()
        rows = [row for batch in self.h.stored(AUDIT) for row in read(batch.rows.column("json").to_pylist())]
        assert faults(rows) == [] and {row.source for row in rows} <= {"10.1.2.3"}
        return [(row.who, f"{row.what} {row.on}", row.status, row.why) for row in rows]


def run(house: Any, work: Callable[[Doors], Awaitable[None]]) -> None:
    async def go() -> None:
        async with house() as h:
            doors = Doors(h)
            try:
                await work(doors)
            finally:
                await doors.http.aclose()

    asyncio.run(go())


# -- who comes in ---------------------------------------------------------------


def altered(key: str) -> str:
    """Whole, and nobody's."""
    while (other := keys.make()) == key:
        pass
    return other


def check_outsiders(house: Any) -> None:
    async def work(doors: Doors) -> None:
        good = doors.key("append:flights")
        expired, gone = doors.key("append:*", "old", days=1), doors.key("append:*", "gone")
        revoke(doors.log, doors.view, doors.clock, doors.view.areas.only(KeyState).live("gone", 0)[0].id, by="test")
        doors.clock.advance(2 * DAY_S)
        shown: dict[str, dict[str, str]] = {
            "nothing was shown": {},
            "what was shown is no key": {"authorization": "Basic dTpw"},
            "what was shown is no whole key": {"authorization": f"Bearer {good[:-1]}"},
            "there is no such key": {"authorization": f"Bearer {altered(good)}"},
            "of old has expired": {"x-api-key": expired},
            "of gone is revoked": {"authorization": f"bearer {gone}"},
        }
        answers = []
        for why, headers in shown.items():
            answer = await doors.ask(headers=headers, json=EVENT)
            assert answer.status_code == 401, f"{why}, and it was let in"
            assert answer.headers["www-authenticate"] == "Bearer"
            assert doors.told()[-1][3].endswith(why), "the audit does not say why"
            answers.append(answer.content)
        assert len(set(answers)) == 1, "an outsider learns what is wrong with what he has"
        assert (await doors.ask("x" * 60_000)).status_code in (400, 401, 431)
        several = await doors.ask(good, headers={"x-api-key": good}, json=EVENT)
        assert several.status_code == 400 and doors.h.stored("flights") == []
        assert (await doors.ask(good)).status_code == 200
        assert (await doors.ask(headers={"x-api-key": good}, json=EVENT)).status_code == 200

    run(house, work)


def test_who_shows_no_key_that_holds_is_told_nothing(house: Any) -> None:
    check_outsiders(house)


def test_mutant_that_looks_at_no_time_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "is_expired", lambda key, now: False)
    with pytest.raises(AssertionError, match="of old has expired, and it was let in"):
        check_outsiders(house)


def test_mutant_that_forgets_what_was_revoked_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Never(dict[str, int]):
        def __contains__(self, id: object) -> bool:
            return False

    plain = KeyState.apply

    def apply(state: KeyState, message: Any) -> None:
        plain(state, message)
        state.revoked = Never(state.revoked)

    monkeypatch.setattr(KeyState, "apply", apply)
    with pytest.raises(AssertionError, match="of gone is revoked, and it was let in"):
        check_outsiders(house)


def test_mutant_that_says_what_is_wrong_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "Unauthorized", lambda message, why: Unauthorized(message + why, why))
    with pytest.raises(AssertionError, match="an outsider learns"):
        check_outsiders(house)


def test_a_page_of_another_origin_changes_nothing_with_a_key_either(house: Any) -> None:
    async def work(doors: Doors) -> None:
        key = doors.key("append:*")
        foreign = await doors.ask(key, headers={"origin": "https://elsewhere.example"}, json=EVENT)
        assert foreign.status_code == 403 and doors.h.stored("flights") == []
        own = await doors.ask(key, headers={"origin": "https://penstock.example"}, json=EVENT)
        assert own.status_code == 200

    run(house, work)


def test_anybody_may_ask_whether_it_lives_and_nothing_else(house: Any) -> None:
    async def work(doors: Doors) -> None:
        for path, status in (("/healthz", 200), ("/v2/health/live", 200), ("/readyz", 401), ("/metrics", 401)):
            assert (await doors.ask(path=path)).status_code == status, path
        for path in ("/docs", "/openapi.json", "/", "/nowhere", "/topics/none"):
            assert (await doors.ask(path=path)).status_code == 401, path
        monitor = doors.key("monitor", "prometheus")
        for path in ("/readyz", "/metrics", "/docs"):
            assert (await doors.ask(monitor, path)).status_code in (200, 503), path

    run(house, work)


def test_a_wrong_key_does_not_even_learn_whether_it_lives(house: Any) -> None:
    async def work(doors: Doors) -> None:
        assert (await doors.ask(keys.make(), "/healthz")).status_code == 401

    run(house, work)


# -- what each may do -------------------------------------------------------------

NAMES = {
    "model": "delay",
    "alias": "champion",
    "version": "1",
    "partition": "0",
    "offset": "0",
    "subscription": "ops",
    "key": "k",
    "token": "t",
    "domain": "tx",
}
MINE, OTHER = "flights", "notes"


def path_of(route: Route, topic: str, other: bool) -> str:
    names = {name: f"{value}2" for name, value in NAMES.items()} if other else NAMES
    return route.path.format(**{**names, "topic": topic})


def may_open(route: Route, rights: Rights, names: dict[str, str]) -> bool:
    """A door that deals with several things opens to anybody; with several of one domain, to who may do that to any."""
    if route.on != EACH:
        return rights.may(route.verb, route.on.format(**names))
    if "{domain}" not in route.path:
        return True
    below = f"{names['domain']}/"
    return rights.may(route.verb, f"{below}*") or rights.may(route.verb, f"{below}{MINE}")


def check_matrix(house: Any) -> None:
    """Every door by every role, for its own things and for others': open where the rights say so, and only there."""

    async def work(doors: Doors) -> None:
        own = f"append:{MINE},read:{MINE},read:models/delay,score:delay,register:delay,alias:delay,"
        own += f"read:subscriptions/ops,steer:ops,redrive:{MINE},read:dead/{MINE},append:tx/{MINE},read:tx/{MINE}"
        roles = {"nothing": "append:nothing-of-all-this", "own": own, "reader": "reader", "operator": "operator"}
        roles |= {"publisher": "publisher", "scorer": "scorer", "monitor": "monitor", "admin": "admin"}
        shown = {name: doors.key(allow, name) for name, allow in roles.items()}
        for name, allow in roles.items():
            rights = Rights.parse(allow)
            for route in ROUTES:
                for topic, other in ((MINE, False), (OTHER, True)):
                    path = path_of(route, topic, other)
                    names = {k: f"{v}2" for k, v in NAMES.items()} if other else NAMES
                    may = may_open(route, rights, {**names, "topic": topic})
                    answer = await doors.http.request(
                        route.method, path, headers={"authorization": f"Bearer {shown[name]}"}
                    )
                    assert (answer.status_code != 403) == may or is_open(route), (
                        f"{name}: {route.method} {path} answers {answer.status_code}"
                    )

    run(house, work)


def test_each_door_opens_to_whose_rights_say_so(house: Any) -> None:
    check_matrix(house)


def test_mutant_a_door_that_asks_for_no_right_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Principal, "require", lambda who, verb, what: None)
    with pytest.raises(AssertionError, match=r"nothing: POST /topics/\w+/events answers"):
        check_matrix(house)


def check_lists(house: Any) -> None:
    """What deals with several shows and touches those of who asks."""

    async def work(doors: Doors) -> None:
        mine, nobody = doors.key(f"read:{MINE},redrive:{MINE}", "mine"), doors.key("append:nothing", "nobody")
        everything = doors.key("admin", "admin")
        for route in ROUTES:
            if route.on != EACH or "{" in route.path:
                continue
            said = {}
            for name, shown in (("mine", mine), ("nobody", nobody), ("all", everything)):
                answer = await doors.http.request(
                    route.method,
                    route.path,
                    headers={"authorization": f"Bearer {shown}"},
                    json=EACH_BODY.get(route.path),
                )
                assert answer.status_code == 200, answer.text
                said[name] = answer.text
            for topic in ("notes", "delays", "penstock.system", "airport"):
                assert topic not in said["mine"] + said["nobody"], f"{route.path} shows others' {topic}"
            assert MINE not in said["nobody"], f"{route.path} shows others' {MINE}"

    run(house, work)


EACH_BODY: dict[str, dict[str, Any]] = {"/dead/redrive": {}, "/dead/drop": {}}


def test_lists_show_what_is_for_who_asks(house: Any) -> None:
    check_lists(house)


def test_mutant_a_list_of_everything_is_caught(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Principal, "may", lambda who, verb, what: True)
    with pytest.raises(AssertionError, match="shows others'"):
        check_lists(house)


def test_who_waits_for_a_topic_may_read_it(house: Any) -> None:
    async def work(doors: Doors) -> None:
        only = doors.key("append:flights", "only")
        both = doors.key("append:flights,read:delays", "both")
        path = f"{WHERE}?wait=delays&timeout=1ms"
        refused = await doors.ask(only, path, method="POST", json=EVENT)
        assert refused.status_code == 403 and doors.h.stored("flights") == []
        assert (await doors.ask(both, path, method="POST", json=EVENT)).status_code == 200

    run(house, work)


# -- keys over HTTP ---------------------------------------------------------------


def test_a_key_is_made_used_and_revoked_over_http(house: Any) -> None:
    async def work(doors: Doors) -> None:
        admin = doors.key("admin", "admin")
        asked = {"name": "acme", "allow": "append:flights", "days": 30}
        made = await doors.ask(admin, "/keys", method="POST", json=asked)
        assert made.status_code == 201 and made.headers["cache-control"] == "no-store"
        said = made.json()
        assert (said["state"], said["allow"], said["by"].split()[0]) == ("live", "append:flights", "admin")
        assert (await doors.ask(said["key"])).status_code == 200
        listed = await doors.ask(admin, "/keys")
        assert [key["name"] for key in listed.json()] == ["admin", "acme"] and said["key"] not in listed.text
        gone = await doors.ask(admin, f"/keys/{said['id']}", method="DELETE", headers={"accept": "*/*"})
        assert gone.status_code == 200 and gone.json()["state"] == "revoked"
        assert (await doors.ask(said["key"])).status_code == 401, "at once, where it was revoked"
        assert doors.told() == [
            ("admin", "POST /keys", 201, ""),
            ("admin", f"DELETE /keys/{said['id']}", 200, ""),
            ("", f"POST {WHERE}", 401, f"key {said['id']} of acme is revoked"),
        ]

    run(house, work)


def test_who_manages_keys_gives_no_more_than_he_has(house: Any) -> None:
    async def work(doors: Doors) -> None:
        clerk = doors.key("manage:keys,append:flights", "clerk")
        for allow, status in (("append:flights", 201), ("append:*", 403), ("admin", 403), ("nonsense", 400)):
            answer = await doors.ask(clerk, "/keys", method="POST", json={"name": "x", "allow": allow})
            assert answer.status_code == status, answer.text

    run(house, work)


def test_a_key_with_a_rate_is_held_to_it(house: Any) -> None:
    async def work(doors: Doors) -> None:
        made = issue(doors.log, doors.view, doors.clock, "fast", "append:flights", days=None, by="t", rate=2)
        said = [await doors.ask(made.key) for _ in range(4)]
        assert [answer.status_code for answer in said] == [200, 200, 429, 429]
        assert said[-1].headers["retry-after"] == "1" and said[-1].json()["error"]["code"] == "too_fast"
        doors.clock.advance(1.0)
        assert (await doors.ask(made.key)).status_code == 200
        assert sum(len(batch) for batch in doors.h.stored("flights")) == 3
        for rate in (0, -1, float("nan"), 1e9):
            with pytest.raises(BadRequest, match="times a second"):
                issue(doors.log, doors.view, doors.clock, "other", "append:flights", days=None, by="t", rate=rate)

    run(house, work)


# -- tokens of an issuer ----------------------------------------------------------


def check_tokens(house: Any, issuer: LoopbackIssuer) -> None:
    roles = {"feed": "append:flights", "nothing": "append:elsewhere"}
    tokens = Tokens(issuer.settings(roles=roles), ManualClock())
    tokens.keys.refresh()

    async def work(doors: Doors) -> None:
        state = doors.view.areas.only(KeyState)
        services = replace(doors.h.services, audit=doors.audit)
        gateway = Gateway(services, admit=AccessAdmission(state, ManualClock(), tokens))
        await doors.http.aclose()
        transport = httpx.ASGITransport(gateway, client=("10.1.2.3", 9))
        doors.http = httpx.AsyncClient(transport=transport, base_url="https://penstock.example")
        feed = token(issuer.claims(roles=["feed"], sub="svc-feed"), key("one"))
        assert (await doors.ask(feed)).status_code == 200, "a token with the right opens nothing"
        assert (await doors.ask(doors.key("append:flights"))).status_code == 200, "and keys go on"
        for role in ("nothing", "unheard-of"):
            other = token(issuer.claims(roles=[role], sub="svc-other"), key("one"))
            assert (await doors.ask(other)).status_code == 403, "another role opens it"
        forged = token(issuer.claims(roles=["feed"]), key("two"))
        expired = token(issuer.claims(roles=["feed"], exp=1), key("one"))
        outside = [await doors.ask(shown) for shown in (forged, expired, feed[:-4], "x.y.z", None)]
        assert {(said.status_code, said.content) for said in outside} == {(401, outside[-1].content)}
        whys = [why.partition(":")[2].split(":")[0].strip() for _, _, status, why in doors.told() if status == 401]
        assert whys == ["unknown_key", "expired", "forged", "malformed", ""]
        assert ("svc-other", f"POST {WHERE}", 403) in [told[:3] for told in doors.told()]

    try:
        run(house, work)
    finally:
        tokens.close()


@pytest.fixture
def issuer() -> Iterator[LoopbackIssuer]:
    with loopback_issuer() as found:
        found.publishes(key("one"))
        yield found


def test_a_token_of_the_issuer_opens_what_its_roles_say(house: Any, issuer: LoopbackIssuer) -> None:
    check_tokens(house, issuer)


def test_mutant_that_gives_every_token_all_roles_is_caught(
    house: Any, issuer: LoopbackIssuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_principal", lambda name, rights, id: Principal(name, Rights.parse("publisher"), id))
    with pytest.raises(AssertionError, match="another role opens it"):
        check_tokens(house, issuer)


# -- secrets ------------------------------------------------------------------------


def check_secrets(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def work(doors: Doors) -> None:
        caplog.set_level(logging.DEBUG)
        admin, acme = doors.key("admin", "admin"), doors.key("append:flights")
        seen = [repr(doors.view.areas.only(KeyState)), repr(doors.audit)]
        for path in (WHERE, "/topics", "/keys", "/metrics", "/docs", "/nowhere", f"/keys/{acme}", f"/topics/{acme}"):
            for shown in (admin, acme, acme[:-1], None):
                answer = await doors.ask(shown, path)
                if acme not in path:  # who writes a key there is told what he wrote, and he alone
                    seen.append(answer.text)
        doors.audit.write()
        seen += [str(batch.rows.to_pylist()) for topic in (AUDIT, "penstock.system") for batch in doors.h.stored(topic)]
        seen += [record.getMessage() for record in caplog.records if record.name.startswith("penstock")]
        for shown in (admin, acme):
            for spelling in (shown[4:], base64.b64encode(shown.encode()).decode(), quote(shown)):
                assert not any(spelling in text for text in seen), "a key is told"

    run(house, work)


def test_no_key_is_told_anywhere(house: Any, caplog: pytest.LogCaptureFixture) -> None:
    check_secrets(house, caplog)


def test_mutant_that_notes_a_key_in_a_path_is_caught(
    house: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.gateway.auditing.hidden", lambda text: text)
    with pytest.raises(AssertionError, match="a key is told"):
        check_secrets(house, caplog)


def test_keys_are_compared_in_constant_time(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By digest, and the last comparison by ``hmac``."""
    compared: list[tuple[str, str]] = []
    plain = hmac.compare_digest

    def compare(a: str, b: str) -> bool:
        compared.append((a, b))
        return plain(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)

    async def work(doors: Doors) -> None:
        key = doors.key("append:flights")
        assert (await doors.ask(key)).status_code == 200
        assert compared == [(keys.digest(key),) * 2]

    run(house, work)
