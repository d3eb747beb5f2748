"""Azure: Event Hubs, Storage, Key Vault, Container Apps, identities and their roles, Log Analytics.

Of each type of resource its id, of which ids of others are beginnings, and the rule of its name. What else a service
refuses is a function beside the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from .made import UNKNOWN, Made, Refusal, at, texts
from .values import Secret, Value

PREFIX = "azure-native:"
TENANT, SUBSCRIPTION = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
MARK = "planted-secret"  # in every secret that a service hands out: whoever shows it has shown a secret
ROOT_RULE = "RootManageSharedAccessKey"
GROUP = "/subscriptions/{subscription}/resourceGroups/{resourceGroupName}"
NAMESPACE = f"{GROUP}/providers/Microsoft.EventHub/namespaces/{{namespaceName}}"
HUB = f"{NAMESPACE}/eventhubs/{{eventHubName}}"
ACCOUNT = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/{{accountName}}"
VAULT = f"{GROUP}/providers/Microsoft.KeyVault/vaults/{{vaultName}}"
ROLES = "/providers/Microsoft.Authorization/roleDefinitions/"
UUID_NAME = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
ENDS_IN_ALNUM = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"


@dataclass(frozen=True, slots=True)
class Kind:
    """``id``: with the names of inputs; ``name``: the input that is its own name; ``legal``: a pattern of the whole of
    it, with ``least`` to ``most`` characters. ``needs``: inputs that the service wants although the SDK does not."""

    id: str
    name: str
    legal: str
    least: int
    most: int
    needs: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "resources:ResourceGroup": Kind(GROUP, "resourceGroupName", r"[\w.()-]*[\w()-]", 1, 90),
    "eventhub:Namespace": Kind(
        NAMESPACE, "namespaceName", r"[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", 6, 50, ("sku.name", "sku.tier")
    ),
    "eventhub:EventHub": Kind(HUB, "eventHubName", ENDS_IN_ALNUM, 1, 256, ("partitionCount",)),
    "eventhub:ConsumerGroup": Kind(
        HUB + "/consumergroups/{consumerGroupName}", "consumerGroupName", ENDS_IN_ALNUM, 1, 50
    ),
    "eventhub:EventHubAuthorizationRule": Kind(
        HUB + "/authorizationRules/{authorizationRuleName}", "authorizationRuleName", ENDS_IN_ALNUM, 1, 50
    ),
    "eventhub:NamespaceAuthorizationRule": Kind(
        NAMESPACE + "/authorizationRules/{authorizationRuleName}", "authorizationRuleName", ENDS_IN_ALNUM, 1, 50
    ),
    "storage:StorageAccount": Kind(ACCOUNT, "accountName", r"[a-z0-9]+", 3, 24),
    "storage:BlobContainer": Kind(
        ACCOUNT + "/blobServices/default/containers/{containerName}", "containerName", r"[a-z0-9](-?[a-z0-9])*", 3, 63
    ),
    "storage:Blob": Kind(
        ACCOUNT + "/blobServices/default/containers/{containerName}/blobs/{blobName}", "blobName", ".+", 1, 1024
    ),
    "storage:BlobServiceProperties": Kind(
        ACCOUNT + "/blobServices/{blobServicesName}", "blobServicesName", "default", 7, 7
    ),
    "keyvault:Vault": Kind(VAULT, "vaultName", r"[A-Za-z](-?[A-Za-z0-9])*", 3, 24),
    "keyvault:Secret": Kind(
        VAULT + "/secrets/{secretName}", "secretName", r"[A-Za-z0-9-]+", 1, 127, ("properties.value",)
    ),
    "managedidentity:UserAssignedIdentity": Kind(
        GROUP + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}",
        "resourceName", r"[A-Za-z0-9][\w-]*", 3, 128,
    ),
    "authorization:RoleAssignment": Kind(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{roleAssignmentName}",
        "roleAssignmentName", UUID_NAME, 36, 36, ("principalType",),
    ),
    "operationalinsights:Workspace": Kind(
        GROUP + "/providers/Microsoft.OperationalInsights/workspaces/{workspaceName}",
        "workspaceName", r"[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]", 4, 63, ("sku.name",),
    ),
    "app:ManagedEnvironment": Kind(
        GROUP + "/providers/Microsoft.App/managedEnvironments/{environmentName}",
        "environmentName", r"[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9]", 2, 60,
    ),
    "app:ContainerApp": Kind(
        GROUP + "/providers/Microsoft.App/containerApps/{containerAppName}",
        "containerAppName", r"[a-z](-?[a-z0-9])*", 2, 32, ("template.containers",),
    ),
    "monitor:DiagnosticSetting": Kind(
        "{resourceUri}/providers/Microsoft.Insights/diagnosticSettings/{name}", "name", r"[^<>*%:?+/&]+", 1, 260
    ),
}  # fmt: skip

ROLE_IDS: Mapping[str, str] = {
    "a638d3c7-ab3a-418d-83e6-5f17a39d4fde": "Azure Event Hubs Data Receiver",
    "2b629674-e913-4c01-ae53-ef4638d8f975": "Azure Event Hubs Data Sender",
    "f526a384-b230-433a-b45c-95f59c4a2dec": "Azure Event Hubs Data Owner",
    "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1": "Storage Blob Data Reader",
    "ba92f5b4-2d11-453d-a403-e96b0029c9fe": "Storage Blob Data Contributor",
    "b7e6dc6d-f1e8-4753-8033-0f276bb0955b": "Storage Blob Data Owner",
    "4633458b-17de-408a-b874-0445c86b69e6": "Key Vault Secrets User",
    "b86a8fe4-44ce-4948-aee5-eccb2c155cd7": "Key Vault Secrets Officer",
    "00482a5a-887f-4fb3-b363-3b7fe8e74483": "Key Vault Administrator",
    "7f951dda-4ed3-4680-a7ca-43fe172d538d": "AcrPull",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
}
"""Those that there are in every tenant, as far as anybody here needs them."""


# -- what is answered ---------------------------------------------------------


def key_of(type: str) -> str:
    """Without the provider, and without a version of its interface: ``azure-native:app/v20250101:ContainerApp``."""
    _, module, name = type.split(":")
    return f"{module.partition('/')[0]}:{name}"


def with_names(type: str, name: str, inputs: Mapping[str, Value]) -> dict[str, Any]:
    """The provider makes up a name where the program gives none."""
    kind = KINDS.get(key_of(type))
    if kind is None or at(inputs, kind.name) is not None:
        return dict(inputs)
    made_up = str(uuid5(UUID(SUBSCRIPTION), name)) if kind.legal == UUID_NAME else f"{name}1a2b3c4d"
    return {**inputs, kind.name: made_up}


def id_of(type: str, inputs: Mapping[str, Value]) -> str:
    return _filled(KINDS[key_of(type)].id, inputs)


def _filled(template: str, inputs: Mapping[str, Value]) -> str:
    return template.format_map(_Names({key: at(inputs, key) for key in inputs} | {"subscription": SUBSCRIPTION}))


class _Names(dict[str, Any]):
    def __missing__(self, key: str) -> str:
        return f"no-{key}"


def state_of(type: str, name: str, inputs: Mapping[str, Value]) -> tuple[str, dict[str, Any]]:
    key = key_of(type)
    if key not in KINDS:
        return f"{name}-id", dict(inputs)
    named = with_names(type, name, inputs)
    id_ = id_of(type, named)
    own = at(named, KINDS[key].name)
    state: dict[str, Any] = {**inputs, "name": own}
    if (given := at(inputs, "identity.userAssignedIdentities")) is not None:
        known = {one: {"principalId": _uuid("principal", one), "clientId": _uuid("client", one)} for one in given}
        state["identity"] = {**_map(inputs["identity"]), "userAssignedIdentities": known}
    if key == "eventhub:Namespace":
        state["serviceBusEndpoint"] = f"https://{own}.servicebus.windows.net:443/"
    elif key == "storage:StorageAccount":
        hosts = {kind: f"https://{own}.{kind}.core.windows.net/" for kind in ("blob", "queue", "table", "file", "dfs")}
        state["primaryEndpoints"] = {**hosts, "web": f"https://{own}.z6.web.core.windows.net/"}
    elif key == "keyvault:Vault":
        state["properties"] = {**_map(inputs.get("properties")), "vaultUri": f"https://{own}.vault.azure.net/"}
    elif key == "keyvault:Secret":
        uri = f"https://{at(inputs, 'vaultName')}.vault.azure.net/secrets/{own}"
        state["properties"] = {"secretUri": uri, "secretUriWithVersion": f"{uri}/0123456789abcdef0123456789abcdef"}
    elif key == "managedidentity:UserAssignedIdentity":
        state |= {"principalId": _uuid("principal", id_), "clientId": _uuid("client", id_), "tenantId": TENANT}
    elif key == "operationalinsights:Workspace":
        state["customerId"] = _uuid("workspace", id_)
    elif key == "app:ManagedEnvironment":
        state |= {"defaultDomain": f"{own}.azurecontainerapps.io", "staticIp": "20.0.0.1"}
    elif key == "app:ContainerApp":
        state |= {"latestRevisionFqdn": f"{own}--1.internal.azurecontainerapps.io", "latestRevisionName": f"{own}--1"}
    return id_, state


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _uuid(what: str, id_: str) -> str:
    return str(uuid5(UUID(TENANT), f"{what} {id_.lower()}"))


def answer(token: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    named = {key: at(arguments, key) for key in arguments}
    match token:
        case "azure-native:eventhub:listEventHubKeys" | "azure-native:eventhub:listNamespaceKeys":
            hub, rule = named.get("eventHubName"), named.get("authorizationRuleName")
            key = f"{MARK}-{hub or 'namespace'}-{rule}"
            at_hub = f";EntityPath={hub}" if hub else ""
            text = (
                f"Endpoint=sb://{named['namespaceName']}.servicebus.windows.net/;SharedAccessKeyName={rule};"
                f"SharedAccessKey={key}{at_hub}"
            )
            return {
                "keyName": rule, "primaryKey": key, "secondaryKey": f"{key}-2",
                "primaryConnectionString": text, "secondaryConnectionString": f"{text}-2",
                "aliasPrimaryConnectionString": text, "aliasSecondaryConnectionString": text,
            }  # fmt: skip
        case "azure-native:operationalinsights:getSharedKeys":
            key = f"{MARK}-{named['workspaceName']}"
            return {"primarySharedKey": key, "secondarySharedKey": f"{key}-2"}
        case "azure-native:storage:listStorageAccountKeys":
            full = {"keyName": "key1", "value": f"{MARK}-{named['accountName']}", "permissions": "FULL"}
            return {"keys": [{**full, "creationTime": "2025-01-01T00:00:00Z"}]}
        case "azure-native:authorization:getClientConfig":
            return {
                "clientId": _uuid("client", "deployer"), "objectId": _uuid("principal", "deployer"),
                "subscriptionId": SUBSCRIPTION, "tenantId": TENANT,
            }  # fmt: skip
    raise LookupError(f"{token}: no answer is known; tests/deploy/services/azure.py is where it belongs")


# -- what is refused ----------------------------------------------------------


def refusals(type: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    key = key_of(type)
    if key not in KINDS:
        yield Refusal("", f"no judge knows {type}: its service's rules belong into tests/deploy/services/azure.py")
        return
    kind = KINDS[key]
    own = at(inputs, kind.name)
    if isinstance(own, str) and not (re.fullmatch(kind.legal, own) and kind.least <= len(own) <= kind.most):
        rule = f"{kind.least} to {kind.most} characters of {kind.legal}"
        yield Refusal(kind.name, f"'{own}' is no name that {key} may have: {rule}")
    for needed in kind.needs:
        if not _known(inputs, needed):
            yield Refusal(needed, f"{key} needs it")
    yield from _strangers(key, inputs, made)
    if key in RULES:
        yield from RULES[key](inputs, made)


def _known(inputs: Mapping[str, Value], path: str) -> bool:
    """Whether there is a value, if only one that will be known later."""
    value: Any = inputs
    for part in path.split("."):
        while isinstance(value, Secret):
            value = value.value
        if value == UNKNOWN:
            return True
        if not isinstance(value, Mapping) or part not in value:
            return False
        value = value[part]
    return value not in (None, "", [])


def _strangers(key: str, inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    """What is referred to and is not there: what the id begins with, ids, and addresses."""
    if made.is_preview:
        return
    kind = KINDS[key]
    for parent, other in KINDS.items():
        if other.id != kind.id and kind.id.startswith(other.id + "/") and not made.has(_filled(other.id, inputs)):
            yield Refusal(other.name, f"there is no {parent} '{at(inputs, other.name)}' for the {key}")
    for path, text in texts(inputs):
        if text.startswith("/subscriptions/") and not _is_there(text, made):
            yield Refusal(path, f"nothing was made that has the id {text}")
        for pattern, other_type, name in ADDRESSES:
            for found in re.findall(pattern, text):
                if found not in {at(there.outputs, "name") for there in made.of(PREFIX + other_type)}:
                    yield Refusal(path, f"{name} '{found}' was not made")
        for vault, secret in re.findall(r"https://([^./]+)\.vault\.azure\.net/secrets/([^/?]+)", text):
            there = {(at(s.inputs, "vaultName"), at(s.outputs, "name")) for s in made.of(f"{PREFIX}keyvault:Secret")}
            if (vault, secret) not in there:
                yield Refusal(path, f"secret '{secret}' was not made in vault '{vault}'")


ADDRESSES = (
    (r"\b([A-Za-z0-9-]+)\.servicebus\.windows\.net", "eventhub:Namespace", "namespace"),
    (r"https://([^./]+)\.(?:blob|dfs)\.core\.windows\.net", "storage:StorageAccount", "storage account"),
    (r"https://([^./]+)\.vault\.azure\.net", "keyvault:Vault", "vault"),
)


def _is_there(id_: str, made: Made) -> bool:
    """A role of every tenant is there, and so is the subscription."""
    if ROLES in id_:
        return id_.rpartition("/")[2] in ROLE_IDS
    return id_.count("/") == 2 or made.has(id_)


def _namespace(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    tier, inflates, most = (
        at(inputs, "sku.name"),
        at(inputs, "isAutoInflateEnabled"),
        at(inputs, "maximumThroughputUnits"),
    )
    if tier != at(inputs, "sku.tier"):
        yield Refusal("sku.tier", "the tier is that of the name")
    if tier == "Basic":
        yield Refusal("sku.name", "Basic does not speak Kafka's protocol: it takes Standard")
    for flag in ("isAutoInflateEnabled", "kafkaEnabled"):
        if not isinstance(at(inputs, flag), bool | None):
            yield Refusal(flag, "it is true or false")
    if at(inputs, "kafkaEnabled") is not True:
        yield Refusal("kafkaEnabled", "no client of Kafka's is let in")
    if at(inputs, "minimumTlsVersion") not in ("1.2", "1.3"):
        yield Refusal("minimumTlsVersion", "older than TLS 1.2")
    if inflates and not most:
        yield Refusal("maximumThroughputUnits", "auto-inflate needs a maximum of throughput units")
    if most and not inflates:
        yield Refusal("isAutoInflateEnabled", "a maximum of throughput units without auto-inflate")
    capacity = at(inputs, "sku.capacity")
    for path, units in (("sku.capacity", capacity), ("maximumThroughputUnits", most)):
        if units is not None and not (isinstance(units, int) and 1 <= units <= 40):
            yield Refusal(path, f"{units!r}: there are 1 to 40 throughput units")
    if isinstance(capacity, int) and isinstance(most, int) and capacity > most:
        yield Refusal("sku.capacity", "more than the maximum")


def _hub(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    partitions, days = at(inputs, "partitionCount"), at(inputs, "messageRetentionInDays")
    if partitions is not None and not (isinstance(partitions, int) and 1 <= partitions <= 32):
        yield Refusal("partitionCount", f"{partitions!r}: a hub of the Standard tier has 1 to 32 partitions")
    kept = "retentionDescription"
    hours, policy = at(inputs, f"{kept}.retentionTimeInHours"), at(inputs, f"{kept}.cleanupPolicy")
    for path, value, most in (("messageRetentionInDays", days, 7), (f"{kept}.retentionTimeInHours", hours, 168)):
        if value is not None and not (isinstance(value, int) and 1 <= value <= most):
            yield Refusal(path, f"{value!r}: the Standard tier keeps 1 hour to 7 days, in whole hours or days")
    if days is not None and hours is not None:
        yield Refusal("messageRetentionInDays", "the retention is said twice")
    if days is None and hours is None:
        yield Refusal("retentionDescription.retentionTimeInHours", "how long events are kept is not said")
    if hours is not None and policy != "Delete":
        yield Refusal("retentionDescription.cleanupPolicy", f"{policy!r} keeps no time: it takes Delete")
    namespace = at(inputs, "namespaceName")
    there = [hub for hub in made.of(f"{PREFIX}eventhub:EventHub") if at(hub.inputs, "namespaceName") == namespace]
    others = {at(hub.outputs, "name") for hub in there} - {at(inputs, "eventHubName")}
    if len(others) >= 10:
        yield Refusal("eventHubName", "a namespace of the Standard tier holds 10 hubs")


def _rule(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    rights = at(inputs, "rights")
    if not rights:
        yield Refusal("rights", "a rule needs a right")
    elif "Manage" in rights and not {"Send", "Listen"} <= set(rights):
        yield Refusal("rights", "Manage takes Send and Listen")


def _account(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    if at(inputs, "allowBlobPublicAccess") is not False:
        yield Refusal("allowBlobPublicAccess", "anybody could be let in to the blobs: it is false")
    if at(inputs, "minimumTlsVersion") not in ("TLS1_2", "TLS1_3"):
        yield Refusal("minimumTlsVersion", "older than TLS 1.2")
    if at(inputs, "allowSharedKeyAccess") is not False:
        yield Refusal("allowSharedKeyAccess", "an account key would be a right to all of it")
    if at(inputs, "enableHttpsTrafficOnly") is False:
        yield Refusal("enableHttpsTrafficOnly", "keys and data would travel in the clear")


def _container(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    if at(inputs, "publicAccess") not in (None, "None"):
        yield Refusal("publicAccess", "anybody could read it")


def _vault(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    if not _known(inputs, "properties.tenantId"):
        yield Refusal("properties.tenantId", "a vault belongs to a tenant")
    elif (tenant := at(inputs, "properties.tenantId")) and not re.fullmatch(UUID_NAME, str(tenant)):
        yield Refusal("properties.tenantId", f"'{tenant}' is no tenant")
    if at(inputs, "properties.enableRbacAuthorization") is not True and not at(inputs, "properties.accessPolicies"):
        yield Refusal("properties.enableRbacAuthorization", "without it roles mean nothing, and nobody has a policy")


def _role(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    principal, role = at(inputs, "principalId"), at(inputs, "roleDefinitionId")
    if at(inputs, "principalType") not in (None, "ServicePrincipal"):
        yield Refusal("principalType", "an identity that was just made is a ServicePrincipal, and found by that alone")
    if isinstance(role, str) and (ROLES not in role or role.rpartition("/")[2] not in ROLE_IDS):
        yield Refusal("roleDefinitionId", f"there is no role {role.rpartition('/')[2]}")
    known = {at(one.outputs, "principalId") for one in made.of(f"{PREFIX}managedidentity:UserAssignedIdentity")}
    if isinstance(principal, str) and not made.is_preview and principal not in known:
        yield Refusal("principalId", f"there is no principal {principal}")


def _environment(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    logs = "appLogsConfiguration"
    if not at(inputs, f"{logs}.destination"):
        yield Refusal(f"{logs}.destination", "what the apps print would be nowhere")
    if at(inputs, f"{logs}.destination") == "log-analytics":
        for needed in ("customerId", "sharedKey"):
            if not _known(inputs, f"{logs}.logAnalyticsConfiguration.{needed}"):
                yield Refusal(f"{logs}.logAnalyticsConfiguration.{needed}", "the workspace is not found without it")
    customer = at(inputs, f"{logs}.logAnalyticsConfiguration.customerId")
    known = {at(one.outputs, "customerId") for one in made.of(f"{PREFIX}operationalinsights:Workspace")}
    if customer and not made.is_preview and customer not in known:
        yield Refusal(f"{logs}.logAnalyticsConfiguration.customerId", "there is no such workspace")


def _app(inputs: Mapping[str, Value], made: Made) -> Iterator[Refusal]:
    if not _known(inputs, "managedEnvironmentId") and not _known(inputs, "environmentId"):
        yield Refusal("managedEnvironmentId", "a container app runs in an environment")
    environment = at(inputs, "managedEnvironmentId") or at(inputs, "environmentId")
    if isinstance(environment, str) and "/managedEnvironments/" not in environment:
        yield Refusal("managedEnvironmentId", "it is no environment")
    there = made.resources.get(environment) if isinstance(environment, str) else None
    profiles = [at(one, "name") for one in at(there.inputs, "workloadProfiles") or []] if there else []
    profile = at(inputs, "workloadProfileName")
    if there and profile not in (profiles or [None]):
        yield Refusal("workloadProfileName", f"the environment has no profile {profile!r}")
    containers = at(inputs, "template.containers") or []
    if sum(_pair(one) is None for one in containers):
        path = "template.containers[0].resources"
        yield Refusal(path, f"Consumption has 0.25 to 2 vCPU, each with twice as many GiB, not {_amounts(containers)}")
    secrets = {at(one, "name") for one in at(inputs, "configuration.secrets") or []}
    identities = _identities(inputs)
    for path, ref in texts(inputs):
        if path.endswith((".secretRef", ".passwordSecretRef")) and ref not in secrets:
            yield Refusal(path, f"the container app has no secret '{ref}'")
        is_identity = path.endswith(".identity") and path.startswith(("configuration.", "template."))
        if is_identity and ref not in ("system", "System") and ref not in identities and not made.is_preview:
            yield Refusal(path, "the container app has no such identity")
    for index, one in enumerate(at(inputs, "configuration.secrets") or []):
        yield from _secret(f"configuration.secrets[{index}]", one)
    volumes = {at(one, "name") for one in at(inputs, "template.volumes") or []}
    for one in containers:
        for needed in ("name", "image"):
            if not _known(one, needed):
                yield Refusal(f"template.containers[0].{needed}", "a container needs it")
        for mount in at(one, "volumeMounts") or []:
            if at(mount, "volumeName") not in volumes:
                yield Refusal("template.containers[0].volumeMounts", f"there is no volume '{at(mount, 'volumeName')}'")
            if not at(mount, "mountPath"):
                yield Refusal("template.containers[0].volumeMounts", "a mount needs a path")
        for index, variable in enumerate(at(one, "env") or []):
            path = f"template.containers[0].env[{index}]"
            if not at(variable, "name"):
                yield Refusal(path, "a variable needs a name")
            if not _known(variable, "value") and not _known(variable, "secretRef"):
                yield Refusal(path, f"variable '{at(variable, 'name')}' has neither a value nor a secret")
        for index, probe in enumerate(at(one, "probes") or []):
            if not (at(probe, "httpGet") or at(probe, "tcpSocket")) or not at(probe, "type"):
                yield Refusal(f"template.containers[0].probes[{index}]", "a probe needs a type and something to ask")
    yield from _scale(at(inputs, "template.scale"), secrets)
    kind, given = at(inputs, "identity.type"), identities
    if given and (kind is None or "UserAssigned" not in kind):
        yield Refusal("identity.type", "identities are given, and the type is not UserAssigned")
    if kind and "UserAssigned" in kind and not given and not made.is_preview:
        yield Refusal("identity.userAssignedIdentities", "the type is UserAssigned, and no identity is given")
    ingress = at(inputs, "configuration.ingress")
    if ingress is not None and not _known(ingress, "targetPort") and at(ingress, "transport") != "auto":
        yield Refusal("configuration.ingress.targetPort", "an ingress needs the port of the app")


def _identities(inputs: Mapping[str, Value]) -> set[str]:
    given = at(inputs, "identity.userAssignedIdentities")
    return set(given) if isinstance(given, list | Mapping) else set()


def _pair(container: Any) -> float | None:
    """The vCPU of a pair that Consumption has, else None."""
    cpu, memory = at(container, "resources.cpu"), at(container, "resources.memory")
    found = re.fullmatch(r"([0-9.]+)Gi", str(memory))
    if isinstance(cpu, bool) or not isinstance(cpu, int | float) or found is None:
        return None
    return cpu if 0.25 <= cpu <= 2 and cpu % 0.25 == 0 and float(found[1]) == 2 * cpu else None


def _amounts(containers: list[Any]) -> str:
    return ", ".join(f"{at(one, 'resources.cpu')} with {at(one, 'resources.memory')}" for one in containers)


def _secret(path: str, secret: Any) -> Iterator[Refusal]:
    if not at(secret, "name") or not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", str(at(secret, "name"))):
        yield Refusal(f"{path}.name", f"'{at(secret, 'name')}' is no name of a secret: small letters, digits, - and .")
    if not _known(secret, "value") and not _known(secret, "keyVaultUrl"):
        yield Refusal(path, f"secret '{at(secret, 'name')}' has neither a value nor the address of one")
    if _known(secret, "keyVaultUrl") and not _known(secret, "identity"):
        yield Refusal(f"{path}.identity", "Key Vault wants to know who asks")


def _scale(scale: Any, secrets: set[Any]) -> Iterator[Refusal]:
    least, most = at(scale, "minReplicas"), at(scale, "maxReplicas")
    if most is not None and not (isinstance(most, int) and 1 <= most <= 1000):
        yield Refusal("template.scale.maxReplicas", f"{most!r}: 1 to 1,000")
    if isinstance(least, int) and isinstance(most, int) and least > most:
        yield Refusal("template.scale.minReplicas", "more than the most")
    if most is not None and most > (least or 0) and not at(scale, "rules"):
        yield Refusal("template.scale.rules", "nothing says when there are more: it has no rule")
    for index, rule in enumerate(at(scale, "rules") or []):
        path = f"template.scale.rules[{index}]"
        if not at(rule, "name"):
            yield Refusal(f"{path}.name", "a rule needs a name")
        kinds = [kind for kind in ("azureQueue", "custom", "http", "tcp") if at(rule, kind)]
        if len(kinds) != 1:
            yield Refusal(path, "a rule is of one kind")
        if "custom" in kinds:
            yield from _scaler(f"{path}.custom", at(rule, "custom"))


def _scaler(path: str, custom: Any) -> Iterator[Refusal]:
    """As KEDA's scalers want it."""
    metadata, auth = at(custom, "metadata") or {}, at(custom, "auth") or []
    if not at(custom, "type"):
        yield Refusal(f"{path}.type", "which scaler it is")
    given = {at(one, "triggerParameter") for one in auth if at(one, "secretRef")}
    if len(given) < len(auth):
        yield Refusal(f"{path}.auth", "each names a secret and what it is for")
    wanted = SCALERS.get(at(custom, "type"), ())
    for needed in wanted:
        if needed not in metadata:
            yield Refusal(f"{path}.metadata", f"scaler {at(custom, 'type')} needs {needed}")
    if at(custom, "type") == "kafka" and "sasl" in given | set(metadata):
        for needed in ("sasl", "username", "password"):
            if needed not in given | set(metadata):
                yield Refusal(f"{path}.auth", f"scaler kafka needs {needed}")
    wrong = [key for key, value in metadata.items() if not isinstance(value, str | Secret)]
    if wrong:
        yield Refusal(f"{path}.metadata", f"{wrong} are no texts, and KEDA's metadata are")


SCALERS: Mapping[str | None, tuple[str, ...]] = {
    "kafka": ("bootstrapServers", "consumerGroup", "topic", "lagThreshold"),
    "azure-eventhub": ("consumerGroup", "unprocessedEventThreshold", "blobContainer", "checkpointStrategy"),
}
RULES: Mapping[str, Callable[[Mapping[str, Value], Made], Iterator[Refusal]]] = {
    "eventhub:Namespace": _namespace,
    "eventhub:EventHub": _hub,
    "eventhub:EventHubAuthorizationRule": _rule,
    "eventhub:NamespaceAuthorizationRule": _rule,
    "storage:StorageAccount": _account,
    "storage:BlobContainer": _container,
    "keyvault:Vault": _vault,
    "authorization:RoleAssignment": _role,
    "app:ManagedEnvironment": _environment,
    "app:ContainerApp": _app,
}
