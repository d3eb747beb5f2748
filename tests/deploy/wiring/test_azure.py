"""What the reader makes of a program that was written by hand, and of mistakes in it."""

from __future__ import annotations

import pytest
from tests.deploy.capture import capture
from tests.deploy.plans import PLAN
from tests.deploy.programs import AZURE, program
from tests.deploy.wiring import azure
from tests.deploy.wiring.found import Access, Found

from penstock.deploy.requirements import requirements_of

pytestmark = pytest.mark.clouds

RIGHT = {
    Access("worker", "read", "log", "orders"),
    Access("worker", "secret", "secret", "API_KEY"),
    Access("hub orders", "hold", "group", "prepare"),
    Access("scaler", "read", "log", "orders", "prepare"),
    Access("producers", "append", "log", "orders"),
}


def read(*changes: tuple[str, str]) -> Found:
    return azure.read(capture(program(AZURE, *changes)), requirements_of(PLAN))


def test_who_may_do_what_is_read_of_roles_rules_and_secrets() -> None:
    found = read()
    assert found.accesses == RIGHT
    assert found.stores == {"artifacts"}
    assert found.logs["orders"].partitions == 4 and found.logs["orders"].retain_us == 86_400_000_000
    assert found.running["worker"].secrets == {"API_KEY"}


WIDE = ('grant("read", RECEIVER, hub.id)', 'grant("read", RECEIVER, namespace.id)')
MANAGES = ("rights=[eventhub.AccessRights.SEND]", 'rights=["Manage", "Send", "Listen"]')
UNSEEN = ('app.EnvironmentVarArgs(name="API_KEY", secret_ref="api-key"),', "")
OTHER = ("value=connection(scaler)", "value=connection(rule)")


@pytest.mark.parametrize(
    ("change", "more", "less"),
    [
        (WIDE, "everything", Access("worker", "read", "log", "orders")),
        (MANAGES, "manage", None),
        (UNSEEN, "that nobody sees: api-key", Access("worker", "secret", "secret", "API_KEY")),
        (OTHER, "append", Access("scaler", "read", "log", "orders", "prepare")),
    ],
)
def test_a_right_that_is_too_wide_or_that_nobody_uses_is_found(
    change: tuple[str, str], more: str, less: Access | None
) -> None:
    found = read(change).accesses
    assert [access for access in found - RIGHT if more in (access.verb, access.kind, access.what)]
    assert less is None or less not in found


def test_a_rule_that_nobody_signs_in_by_is_found() -> None:
    found = read(OTHER).findings
    assert "nobody signs in by rule 'scaler' of hub 'orders'" in found
