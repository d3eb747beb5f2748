from __future__ import annotations

from dataclasses import replace

import pytest
from tests.deploy.azure.built import app_built, of, one, plan_built
from tests.deploy.components import PLANTED
from tests.deploy.plans import PLAN
from tests.deploy.services.azure import TENANT
from tests.deploy.services.values import Secret

pytestmark = pytest.mark.clouds


def test_a_secret_of_the_app_is_in_the_vault_and_secret_on_its_way_there() -> None:
    program = plan_built(PLAN)
    secret = one(program, "keyvault:Secret")
    assert (secret["secretName"], secret["properties"]) == ("api-key", {"value": Secret(f"{PLANTED}-API_KEY")})
    assert secret["vaultName"] == one(program, "keyvault:Vault")["vaultName"]


@pytest.mark.parametrize("protected", [True, False])
def test_the_vault_goes_by_roles_and_forgets_nothing_at_once(protected: bool) -> None:
    properties = one(app_built(PLAN, purge_protection=protected), "keyvault:Vault")["properties"]
    assert properties["enableRbacAuthorization"] is True and properties["enableSoftDelete"] is True
    assert properties.get("enablePurgeProtection") == (True if protected else None)  # the service refuses False
    assert (properties["tenantId"], properties["sku"]) == (TENANT, {"family": "A", "name": "standard"})


def test_an_app_without_secrets_has_no_vault() -> None:
    program = app_built(replace(PLAN, resources=(), stages=()))
    assert not of(program, "keyvault:Vault") and not of(program, "keyvault:Secret")
