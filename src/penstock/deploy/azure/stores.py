"""The storage account for the models' files, which nobody reaches without a role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import storage

from ..requirements import Requirements
from .args import PenstockAppArgs
from .names import AzureSite

FOLDER = "models"
ACCOUNT_NAME_LIMIT_CHARS = 24
DOMAIN = "blob.core.windows.net"


@dataclass(frozen=True, slots=True)
class BlobStores:
    """``containers`` by the store's name."""

    account: storage.StorageAccount
    containers: Mapping[str, storage.BlobContainer]

    def url(self, store: str) -> pulumi.Output[str]:
        """As ``--artifacts`` takes it."""
        return pulumi.Output.format("az://{}/{}", self.containers[store].name, FOLDER)

    def address(self, store: str) -> pulumi.Output[str]:
        """As HTTP has it."""
        return pulumi.Output.format("https://{}.{}/{}", self.account.name, DOMAIN, self.containers[store].name)


def make_stores(site: AzureSite, args: PenstockAppArgs, needed: Requirements) -> BlobStores:
    account = storage.StorageAccount(
        site.logical("store"),
        account_name=site.worldwide(args.storage_account, ACCOUNT_NAME_LIMIT_CHARS, dash=""),
        resource_group_name=site.group,
        location=site.location,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        allow_shared_key_access=False,  # an account key would be a right to all of it, and nobody's
        enable_https_traffic_only=True,
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        tags=site.tags,
        opts=site.options(),
    )
    containers = {
        store.name: storage.BlobContainer(
            site.logical("store", store.name),
            container_name=store.name,
            account_name=account.name,
            resource_group_name=site.group,
            public_access=storage.PublicAccess.NONE,
            opts=site.options(),
        )
        for store in needed.stores
    }
    return BlobStores(account, containers)
