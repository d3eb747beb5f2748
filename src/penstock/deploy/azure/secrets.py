"""The vault with the app's secrets and the gateway's. No process reads it: the platform hands their values to a
service's environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import keyvault

from ..arguments import secret_value
from ..names import dashed
from ..requirements import Requirements
from .args import PenstockAppArgs
from .names import AzureSite

VAULT_NAME_LIMIT_CHARS = 24
DOMAIN = "vault.azure.net"
RETENTION_DAYS = 90  # for which a secret, or the vault, that was removed can be brought back


@dataclass(frozen=True, slots=True)
class VaultSecret:
    vault: keyvault.Vault
    made: keyvault.Secret

    @property
    def scope(self) -> pulumi.Output[str]:
        """What a role is given for: this secret alone."""
        return pulumi.Output.format("{}/secrets/{}", self.vault.id, self.made.name)

    @property
    def url(self) -> pulumi.Output[str]:
        """Without a version: whoever asks gets the newest."""
        return pulumi.Output.format("https://{}.{}/secrets/{}", self.vault.name, DOMAIN, self.made.name)


def make_secrets(site: AzureSite, args: PenstockAppArgs, needed: Requirements) -> Mapping[str, VaultSecret]:
    """By the variable's name. An app that needs none has no vault."""
    if not needed.secrets:
        return {}
    vault = _vault(site, args)
    return {secret.name: VaultSecret(vault, _secret(site, args, vault, secret.name)) for secret in needed.secrets}


def _vault(site: AzureSite, args: PenstockAppArgs) -> keyvault.Vault:
    return keyvault.Vault(
        site.logical("vault"),
        vault_name=site.worldwide(args.key_vault, VAULT_NAME_LIMIT_CHARS),
        resource_group_name=site.group,
        location=site.location,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=site.tenant,
            sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            enable_soft_delete=True,
            soft_delete_retention_in_days=RETENTION_DAYS,
            enable_purge_protection=True if args.purge_protection else None,  # the service refuses False
        ),
        tags=site.tags,
        opts=site.options(),
    )


def _secret(site: AzureSite, args: PenstockAppArgs, vault: keyvault.Vault, variable: str) -> keyvault.Secret:
    return keyvault.Secret(
        site.logical("secret", variable),
        secret_name=dashed(variable),
        vault_name=vault.name,
        resource_group_name=site.group,
        properties=keyvault.SecretPropertiesArgs(value=secret_value(args.secrets, variable)),
        tags=site.tags,
        opts=site.options(),
    )
