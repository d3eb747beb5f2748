"""Where the services run: an environment of Container Apps that keeps their logs, and a container app each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import app, operationalinsights

from ..arguments import OWN, check_image, settings_told
from ..containers import DATA, PROBES_PORT, TMP, grace_s, run_words
from ..house import ARTIFACTS
from ..names import dashed
from ..requirements import COURIER, GATEWAY, WORKER
from .args import CheckedAzureArgs
from .doors import ingress_of, public_url
from .identities import ServiceIdentity
from .logs import EventHubs
from .names import AzureSite
from .scaling import lag_secrets, scale_of
from .secrets import VaultSecret
from .stores import BlobStores

VOLUMES = {"data": DATA, "tmp": TMP}
CONSUMPTION = "Consumption"
GIB = 1 << 30
RUNNER_MEMORY = "PENSTOCK_RUNNER_MEMORY"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What services are connected to."""

    logs: EventHubs
    stores: BlobStores
    secrets: Mapping[str, VaultSecret]
    identities: Mapping[str, ServiceIdentity]


@dataclass(frozen=True, slots=True)
class ContainerApps:
    """``made`` by the service's name; ``public_url``: where others reach the doors, None: nobody does."""

    made: Mapping[str, app.ContainerApp]
    public_url: pulumi.Output[str] | None


def make_services(site: AzureSite, checked: CheckedAzureArgs, around: Surroundings) -> ContainerApps:
    """Only the gateway may have an ingress. Without it the doors listen on the loopback of their replica alone, and
    events come in by Event Hubs itself."""
    environment = _environment(site, checked.given.log_retention_days)
    url = public_url(site, checked, environment)
    names = [service.name for service in checked.needed.services]
    return ContainerApps({name: _service(site, checked, around, name, environment, url) for name in names}, url)


def _environment(site: AzureSite, days: int) -> app.ManagedEnvironment:
    workspace = operationalinsights.Workspace(
        site.logical("logs"),
        workspace_name=site.named("logs"),
        resource_group_name=site.group,
        location=site.location,
        sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
        retention_in_days=days,
        tags=site.tags,
        opts=site.options(),
    )
    keys = operationalinsights.get_shared_keys_output(
        resource_group_name=site.group, workspace_name=workspace.name, opts=site.asking(workspace)
    )
    return app.ManagedEnvironment(
        site.logical("environment"),
        environment_name=site.named("environment"),
        resource_group_name=site.group,
        location=site.location,
        app_logs_configuration=app.AppLogsConfigurationArgs(
            destination="log-analytics",
            log_analytics_configuration=app.LogAnalyticsConfigurationArgs(
                customer_id=workspace.customer_id, shared_key=pulumi.Output.secret(keys.primary_shared_key)
            ),
        ),
        workload_profiles=[app.WorkloadProfileArgs(name=CONSUMPTION, workload_profile_type=CONSUMPTION)],
        tags=site.tags,
        opts=site.options(),
    )


def _service(
    site: AzureSite,
    checked: CheckedAzureArgs,
    around: Surroundings,
    service: str,
    environment: app.ManagedEnvironment,
    url: pulumi.Output[str] | None,
) -> app.ContainerApp:
    identity = around.identities[service]
    return app.ContainerApp(
        site.logical(service),
        container_app_name=site.named(service),
        resource_group_name=site.group,
        location=site.location,
        environment_id=environment.id,
        workload_profile_name=CONSUMPTION,
        identity=app.ManagedServiceIdentityArgs(
            type=app.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[identity.made.id]
        ),
        configuration=app.ConfigurationArgs(
            active_revisions_mode=app.ActiveRevisionsMode.SINGLE,
            ingress=ingress_of(checked, service),
            registries=_registries(checked, identity),
            secrets=[*_secrets(checked, around, service), *(lag_secrets(around.logs) if service == WORKER else ())],
        ),
        template=app.TemplateArgs(
            containers=[_container(checked, around, service, url)],
            scale=scale_of(checked, around.logs, service),
            termination_grace_period_seconds=grace_s(checked.given.settings),
            volumes=[app.VolumeArgs(name=name, storage_type=app.StorageType.EMPTY_DIR) for name in VOLUMES],
        ),
        tags=site.tags,
        opts=site.options(*identity.roles, *around.logs.groups),
    )


def _container(
    checked: CheckedAzureArgs, around: Surroundings, service: str, url: pulumi.Output[str] | None
) -> app.ContainerArgs:
    return app.ContainerArgs(
        name=service,
        image=pulumi.Output.from_input(checked.given.image).apply(check_image),
        args=run_words(
            checked.file,
            service,
            pulumi.Output.format(
                "kafka+eventhubs://{}?identity={}",
                around.logs.namespace.name,
                around.identities[service].made.client_id,
            ),
            around.stores.url(ARTIFACTS) if checked.needed.has_models(service) else None,
            workers=1,
            doors=checked.opened.doors,
        ),
        env=list(_environ(checked, around, service, url)),
        resources=app.ContainerResourcesArgs(cpu=_cpu(checked, service), memory=f"{_memory_gib(checked, service):g}Gi"),
        probes=[
            _probe(app.Type.STARTUP, "/healthz", period_s=12, failures=10),
            _probe(app.Type.LIVENESS, "/healthz", period_s=10, failures=6),
            _probe(app.Type.READINESS, "/readyz", period_s=5, failures=3),
        ],
        volume_mounts=[app.VolumeMountArgs(volume_name=name, mount_path=path) for name, path in VOLUMES.items()],
    )


def _environ(
    checked: CheckedAzureArgs, around: Surroundings, service: str, url: pulumi.Output[str] | None
) -> Iterator[app.EnvironmentVarArgs]:
    """Penstock's own settings are every service's, the app's those of whoever looks them up."""
    known = {*checked.needed.settings_of(service), *OWN}
    settings = settings_told(checked.given.settings, service, url)
    values: dict[str, pulumi.Input[str]] = {"AZURE_CLIENT_ID": around.identities[service].made.client_id}
    if checked.needed.has_models(service):
        values["AZURE_STORAGE_ACCOUNT_NAME"] = around.stores.account.name
        values[RUNNER_MEMORY] = str(_runner_memory_bytes(checked))
    values |= {name: value for name, value in settings.items() if name in known}
    yield from (app.EnvironmentVarArgs(name=name, value=value) for name, value in values.items())
    for variable in checked.needed.secrets_of(service):
        yield app.EnvironmentVarArgs(name=variable, secret_ref=dashed(variable))


def _secrets(checked: CheckedAzureArgs, around: Surroundings, service: str) -> Iterator[app.SecretArgs]:
    for variable in checked.needed.secrets_of(service):
        url, identity = around.secrets[variable].url, around.identities[service].made
        yield app.SecretArgs(name=dashed(variable), key_vault_url=url, identity=identity.id)


def _probe(kind: app.Type, path: str, period_s: int, failures: int) -> app.ContainerAppProbeArgs:
    return app.ContainerAppProbeArgs(
        type=kind,
        http_get=app.ContainerAppProbeHttpGetArgs(path=path, port=PROBES_PORT, scheme=app.Scheme.HTTP),
        period_seconds=period_s,
        timeout_seconds=2,
        failure_threshold=failures,
    )


def _cpu(checked: CheckedAzureArgs, service: str) -> float:
    given = checked.given
    return {GATEWAY: given.gateway_cpu, WORKER: given.worker_cpu, COURIER: given.courier_cpu}[service]


def _memory_gib(checked: CheckedAzureArgs, service: str) -> float:
    """Consumption has pairs."""
    return 2 * _cpu(checked, service)


def _runner_memory_bytes(checked: CheckedAzureArgs) -> int:
    """A runner that wants more is killed before the platform kills the whole replica. The gateway takes no model that
    is too large for it, so it is told too."""
    return int(_memory_gib(checked, WORKER) / 2 * GIB)


def _registries(checked: CheckedAzureArgs, identity: ServiceIdentity) -> list[app.RegistryCredentialsArgs]:
    if checked.given.registry is None:
        return []
    server = pulumi.Output.from_input(checked.given.image).apply(lambda image: image.partition("/")[0])
    return [app.RegistryCredentialsArgs(server=server, identity=identity.made.id)]
