"""The page of caught webhooks in a real browser: what an event holds is text there, whatever it is, and never a script;
and its own script does what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.gateway.catching.chromium import tab
from tests.gateway.test_server import running

from penstock.gateway.catching import page as pages
from penstock.gateway.catching.catcher import BODY_BYTES, Catcher
from penstock.gateway.doors import caught as door
from penstock.plan.plan import Plan, SubscriptionSpec
from penstock.settings import Settings

HOSTILE = (
    "</pre></details><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    "<svg onload=\"document.title='taken'\"><base href=https://evil.example><a href=javascript:alert(1)>x</a>"
)
NAME = "it's <b>&"
SPECS = (
    SubscriptionSpec(NAME, "<i>notes", "https://hooks.example.com/hush", where="n < '<script>'"),
    SubscriptionSpec("quiet", "notes", "https://hooks.example.com/all"),
)
PLAN = Plan("shop", "", "c0de", (), subscriptions=SPECS)


@pytest.fixture
def catcher() -> Catcher:
    made = Catcher(PLAN, {})
    headers = [("webhook-id", HOSTILE), ("penstock-attempt", HOSTILE), ("ce-x", HOSTILE), (HOSTILE, "x")]
    made.take(NAME, headers, HOSTILE.encode(), 1_700_000_000_000_000)
    return made


def check_that_no_script_runs(folder: Path, catcher: Catcher) -> None:
    with running(folder, Settings(), catcher=catcher) as server, tab(folder) as page:
        page.visit(f"http://127.0.0.1:{server.port}/caught")
        page.find("document.querySelector('details').open = true")
        assert page.find("document.title") == "Caught webhooks", "a hostile event ran a script"
        assert page.find("document.querySelector('details pre').textContent") == HOSTILE
        assert page.find("document.querySelectorAll('script, img, svg, base').length") == 1
        assert page.find("document.querySelector('h2').textContent") == NAME


def test_what_an_event_holds_is_text(tmp_path: Path, catcher: Catcher) -> None:
    check_that_no_script_runs(tmp_path, catcher)


def test_a_page_that_does_not_escape_runs_no_script_all_the_same(
    tmp_path: Path, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "escape", lambda text: text)
    with running(tmp_path, Settings(), catcher=catcher) as server, tab(tmp_path) as page:
        page.visit(f"http://127.0.0.1:{server.port}/caught")
        assert page.find("document.title") == "Caught webhooks"
        assert page.hears("Content Security Policy"), "nothing was refused"


def test_mutant_without_escape_and_policy_is_caught(
    tmp_path: Path, catcher: Catcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "escape", lambda text: text)
    monkeypatch.setattr(door, "HEADERS", {})
    with pytest.raises(AssertionError, match="a hostile event ran a script"):
        check_that_no_script_runs(tmp_path, catcher)


def test_one_chooses_an_answer_and_sees_what_comes(tmp_path: Path, catcher: Catcher) -> None:
    with running(tmp_path, Settings(), catcher=catcher) as server, tab(tmp_path) as page:
        place = f"http://127.0.0.1:{server.port}"
        page.visit(f"{place}/caught")
        page.find(
            "(() => { const found = document.querySelector('select'); found.value = '410';"
            "found.dispatchEvent(new Event('change', {bubbles: true})) })()"
        )
        # As the gateway's page says it; what was chosen in this one is there at once.
        assert page.until("document.querySelector('option[selected][value=\"410\"]') != null")
        assert page.until("document.readyState == 'complete'")
        assert catcher.answer_of(NAME) == "410" and catcher.answer_of("quiet") == "200"
        assert httpx.post(f"{place}/caught/quiet", json={"n": 1}).status_code == 200
        assert page.until("document.querySelectorAll('details').length == 2"), "it does not show what has come"
        page.find("document.querySelector('details').open = true")
        assert httpx.post(f"{place}/caught/quiet", json={"n": 2}).status_code == 200
        assert page.until("document.getElementById('new').textContent == '1 more: show'")
        assert page.find("document.querySelectorAll('details').length") == 2, "it took away what somebody reads"
        page.find("document.getElementById('new').click()")
        assert page.until("document.querySelectorAll('details').length == 3")
        assert not any("exception" in str(said.get("method", "")).lower() for said in page.told)


def test_what_is_cut_and_what_is_wrong_is_told() -> None:
    catcher = Catcher(PLAN, {})
    catcher.take("quiet", [("webhook-signature", "v1,x")], b"a" * (BODY_BYTES + 1), 1)
    shown = pages.page(catcher)
    assert "The first 65,536 of 65,537 bytes." in shown
    assert "<span class=bad>signed, and the file names no secret</span>" in shown


def test_a_page_has_a_bounded_number_of_subscriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "SHOWN", 1)
    catcher = Catcher(PLAN, {})
    catcher.take("quiet", [], b"", 1)
    shown = pages.page(catcher)
    assert "<h2 id='quiet'>" in shown and shown.count("<h2 ") == 1 and "1 subscriptions more" in shown


def test_the_policy_lets_nothing_in_from_elsewhere() -> None:
    policy = dict(part.split(" ", 1) for part in pages.HEADERS["content-security-policy"].split("; "))
    allowed: dict[str, Any] = {name: sources.split() for name, sources in policy.items()}
    assert allowed["default-src"] == ["'none'"] and allowed["connect-src"] == ["'self'"]
    assert all(source.startswith("'sha256-") for name in ("script-src", "style-src") for source in allowed[name])
    assert not any("unsafe" in source for sources in allowed.values() for source in sources)
