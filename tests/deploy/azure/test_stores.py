from __future__ import annotations

import pytest
from tests.deploy.azure.built import app_built, one, plan_built
from tests.deploy.plans import PLAN

pytestmark = pytest.mark.clouds


def test_nobody_reaches_the_artifacts_without_a_role() -> None:
    program = plan_built(PLAN)
    account = one(program, "storage:StorageAccount")
    assert account["allowBlobPublicAccess"] is False and account["allowSharedKeyAccess"] is False
    assert account["enableHttpsTrafficOnly"] is True and account["minimumTlsVersion"] == "TLS1_2"
    container = one(program, "storage:BlobContainer")
    assert (container["containerName"], container["publicAccess"]) == ("artifacts", "None")
    assert not [token for token, _ in program.calls if "storage" in token], "an account key was asked for"


def test_an_account_that_has_a_name_keeps_it() -> None:
    assert one(app_built(PLAN, storage_account="mine"), "storage:StorageAccount")["accountName"] == "mine"
