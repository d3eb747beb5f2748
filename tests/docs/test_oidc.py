"""docs/oidc.md says what the code does: its settings, its figures, its reasons, and the examples can be set."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.access.oidc.issuers import AUDIENCE, ROLES, key, loopback_issuer, token

from penstock.access.oidc import fetching, issuer_keys, signatures, tokens
from penstock.access.oidc.faults import TokenFault
from penstock.access.oidc.issuer import ALGORITHMS, LEEWAY_LIMIT_S, SIGNED_WITH, Issuer
from penstock.access.oidc.open import FIELDS, PREFIX, issuer_from_env

PAGE = (Path(__file__).parents[2] / "docs" / "oidc.md").read_text()
FLOWING = " ".join(PAGE.split())
EXAMPLES = [block for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if PREFIX in block]


def test_each_setting_and_algorithm_is_there() -> None:
    assert set(re.findall(rf"^\| `{PREFIX}(\w+)`", PAGE, re.MULTILINE)) == set(FIELDS)
    assert f"`{' '.join(ALGORITHMS)}`" in PAGE
    assert [name for name in SIGNED_WITH if f"`{name}`" not in PAGE and name not in ALGORITHMS] == []


def test_each_reason_is_there() -> None:
    table = PAGE[PAGE.index("| reason |") :]
    first_column = " ".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", first_column)) == {fault.value for fault in TokenFault}


def test_the_figures_are_those_of_the_code() -> None:
    for said in (
        f"every {issuer_keys.PERIOD_S / 60:g} minutes",
        f"at most every {issuer_keys.GAP_S:g} seconds",
        f"{tokens.WAIT_S:g} seconds at most",
        f"{issuer_keys.KEEP_S / 3_600:g} hours after the last fetch",
        f"{fetching.BODY_BYTES >> 10} KiB at most, within {fetching.FETCH_S:g} seconds",
        f"more than {signatures.TOKEN_BYTES >> 10} KiB, or a head of more than {signatures.HEAD_BYTES >> 10} KiB",
        f"{tokens.REMEMBERED:,} of them",
        f"30 when absent, {LEEWAY_LIMIT_S:g} at most",
    ):
        assert said in FLOWING, said
    assert issuer_keys.RETRY_S == 60 and "asked again every minute" in FLOWING
    assert Issuer.__dataclass_fields__["leeway_s"].default == 30


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda block: block.split("\n")[0])
def test_an_example_can_be_set(example: str) -> None:
    words = [word for word in shlex.split(example) if word != "export"]
    assert issuer_from_env(dict(word.split("=", 1) for word in words))


def test_the_code_of_the_page_admits_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with loopback_issuer() as issuer:
        issuer.publishes(key("one"))
        for name, value in (("ISSUER", issuer.url), ("AUDIENCE", AUDIENCE), ("ROLES", json.dumps(ROLES))):
            monkeypatch.setenv(PREFIX + name, value)
        page: dict[str, Any] = {}
        exec(code, page)
        try:
            now = page["clock"].now() // 1_000_000
            shown = token(issuer.claims(iat=now, exp=now + 300), key("one"))
            assert asyncio.run(page["who"](shown)).rights == (ROLES["operator"],)
        finally:
            page["tokens"].close()


def test_there_is_an_example_of_each_provider() -> None:
    assert len(EXAMPLES) == len(re.findall(r"^## (Keycloak|Entra ID|Google)$", PAGE, re.MULTILINE)) == 3
