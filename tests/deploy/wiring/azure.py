"""Reads what a program on Azure asked for: who is let do what by roles and rules, what runs, and what there is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.deploy.capture import Captured, Program, plain
from tests.deploy.services.azure import PREFIX, ROLE_IDS
from tests.deploy.services.made import at
from tests.deploy.wiring.found import Access, Found, FoundLog, Running, only
from tests.deploy.wiring.ways_in import of_container_app

from penstock.deploy.requirements import Requirements

HOUR_US = 3_600_000_000
DAY_HOURS, LONGEST_HOURS = 24, 168  # of the Standard tier
VERBS: Mapping[str, tuple[str, ...]] = {
    "Azure Event Hubs Data Receiver": ("read",),
    "Azure Event Hubs Data Sender": ("append",),
    "Storage Blob Data Reader": ("get",),
    "Storage Blob Data Contributor": ("get", "put"),
    "Key Vault Secrets User": ("secret",),
}
RULES = {"Listen": "read", "Send": "append", "Manage": "manage"}
ANYTHING = "everything"


class Azure:
    """A program's resources, by kind."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self.apps = self.of("app:ContainerApp")
        self.hubs = {hub.id.lower(): str(at(hub.inputs, "eventHubName")) for hub in self.of("eventhub:EventHub")}

    def of(self, kind: str) -> list[Captured]:
        return self._program.of(PREFIX + kind)

    def groups(self) -> set[tuple[str, str]]:
        """Of each hub the consumer groups that are made beforehand."""
        made = self.of("eventhub:ConsumerGroup")
        return {(at(group.inputs, "eventHubName"), at(group.inputs, "consumerGroupName")) for group in made}

    def outputs(self) -> Iterator[Any]:
        """Of components and of the stack, without marks."""
        for resource in self._program.resources:
            if resource.type.startswith("penstock:"):
                yield plain(resource.outputs)
        yield plain(self._program.exports)


def read(program: Program, _: Requirements) -> Found:
    there, found = Azure(program), Found(longest_us=LONGEST_HOURS * HOUR_US)
    for hub in there.of("eventhub:EventHub"):
        hours = at(hub.inputs, "retentionDescription.retentionTimeInHours")
        hours = hours or DAY_HOURS * (at(hub.inputs, "messageRetentionInDays") or 0)
        found.logs[at(hub.inputs, "eventHubName")] = FoundLog(at(hub.inputs, "partitionCount"), hours * HOUR_US)
    found.stores = {at(container.inputs, "containerName") for container in there.of("storage:BlobContainer")}
    for app in there.apps:
        container = _container(app)
        service = only(_words(container))
        if not service or service in found.running:
            found.findings.append(f"{app.name}: which service it is is not said, or it is there twice")
            continue
        found.running[service] = _running(app, container)
        if (way := of_container_app(there, app)) is not None:
            found.ways_in[service] = way
        found.findings += [f"{service}: {why}" for why in _surroundings(there, app, container)]
    found.accesses |= {access for role in there.of("authorization:RoleAssignment") for access in _granted(there, role)}
    found.accesses |= {Access(f"hub {hub}", "hold", "group", group) for hub, group in there.groups()}
    found.accesses |= set(_by_keys(there, found.findings))
    return found


def groups(needed: Requirements) -> set[Access]:
    """A role lets read in any group: those of who reads are made beforehand, and those in which events are put back are
    made by use."""
    return {
        Access(f"hub {right.what}", "hold", "group", right.group)
        for right in needed.rights
        if right.group and not right.group.startswith("penstock.redrive.")
    }


# -- roles --------------------------------------------------------------------


def _granted(there: Azure, role: Captured) -> Iterator[Access]:
    name = ROLE_IDS.get(str(at(role.inputs, "roleDefinitionId")).rpartition("/")[2], "")
    principal, scope = at(role.inputs, "principalId"), str(at(role.inputs, "scope"))
    for service in _services_of(there, principal) or (f"nobody ({principal})",):
        for verb in VERBS.get(name, (f"be {name}",)):
            for kind, what in _things(there, service, scope):
                yield Access(service, verb, kind, what)


def _services_of(there: Azure, principal: Any) -> list[str]:
    """Those that run under the identity, and are told so."""
    found = []
    for identity in there.of("managedidentity:UserAssignedIdentity"):
        if at(identity.outputs, "principalId") != principal:
            continue
        for app in there.apps:
            given = at(app.inputs, "identity.userAssignedIdentities") or []
            client = _variables(_container(app)).get("AZURE_CLIENT_ID")
            if identity.id in given and client == at(identity.outputs, "clientId"):
                found.append(only(_words(_container(app))))
    return found


def _things(there: Azure, service: str, scope: str) -> Iterator[tuple[str, str]]:
    """What a scope is; a wide one is no single thing."""
    if scope.lower() in there.hubs:
        yield "log", there.hubs[scope.lower()]
    elif "/blobServices/default/containers/" in scope:
        yield "store", scope.rpartition("/")[2]
    elif "/vaults/" in scope and "/secrets/" in scope:
        yield from (("secret", variable) for variable in _variables_of(there, service, scope))
    else:
        yield ANYTHING, scope


def _variables_of(there: Azure, service: str, scope: str) -> list[str]:
    """Under which a service sees a secret of the vault."""
    vault, _, secret = scope.partition("/vaults/")[2].partition("/secrets/")
    address = f"https://{vault}.vault.azure.net/secrets/{secret}"
    found = []
    for app in there.apps:
        if only(_words(_container(app))) == service:
            kept = {at(one, "name"): at(one, "keyVaultUrl") for one in at(app.inputs, "configuration.secrets") or []}
            for variable, ref in _references(_container(app)).items():
                if kept.get(ref) == address:
                    found.append(variable)
    return found or [f"that nobody sees: {secret}"]


# -- keys ---------------------------------------------------------------------


def _by_keys(there: Azure, findings: list[str]) -> Iterator[Access]:
    """KEDA's scaler signs in with the key of a rule, and so do those who send; whose a rule is is seen by where its
    connection string goes."""
    shown = [str(output) for output in there.outputs()]
    for rule in there.of("eventhub:EventHubAuthorizationRule"):
        hub, name = at(rule.inputs, "eventHubName"), at(rule.inputs, "authorizationRuleName")
        key = f"SharedAccessKeyName={name};SharedAccessKey="
        scaled = list(_scaled_with(there, hub, key))
        is_shown = any(key in text and f"EntityPath={hub}" in text for text in shown)
        verbs = [RULES[right] for right in at(rule.inputs, "rights") or []]
        for verb in verbs:
            yield from (Access("scaler", verb, "log", hub, group) for group in scaled)
            if is_shown:
                yield Access("producers", verb, "log", hub)
        if not scaled and not is_shown:
            findings.append(f"nobody signs in by rule '{name}' of hub '{hub}'")
    wide = there.of("eventhub:NamespaceAuthorizationRule")
    findings += [f"rule '{rule.name}' is of all hubs" for rule in wide]


def _scaled_with(there: Azure, hub: str, key: str) -> Iterator[str]:
    """The groups of the scale rules that look at the hub with the key."""
    for app in there.apps:
        secrets = {at(one, "name"): str(at(one, "value")) for one in at(app.inputs, "configuration.secrets") or []}
        for rule in at(app.inputs, "template.scale.rules") or []:
            auth = {at(one, "triggerParameter"): at(one, "secretRef") for one in at(rule, "custom.auth") or []}
            password, user = secrets.get(auth.get("password"), ""), secrets.get(auth.get("username"), "")
            metadata = plain(at(rule, "custom.metadata") or {})
            fits = metadata.get("topic") == hub and user == "$ConnectionString"
            fits = fits and metadata.get("sasl") == "plaintext" and metadata.get("tls") == "enable"
            # A stage that starts at the beginning is behind from its first event on.
            fits = fits and metadata.get("offsetResetPolicy") in ("earliest", "latest")
            if fits and key in password and f"EntityPath={hub}" in password:
                yield metadata.get("consumerGroup", "")


# -- what runs ----------------------------------------------------------------


def _container(app: Captured) -> Any:
    containers = at(app.inputs, "template.containers") or [{}]
    return containers[0]


def _words(container: Any) -> tuple[str, ...]:
    return tuple(map(str, plain(at(container, "args") or [])))


def _variables(container: Any) -> Mapping[str, str]:
    return {at(one, "name"): at(one, "value") for one in at(container, "env") or [] if at(one, "value") is not None}


def _references(container: Any) -> Mapping[str, str]:
    return {at(one, "name"): at(one, "secretRef") for one in at(container, "env") or [] if at(one, "secretRef")}


def _running(app: Captured, container: Any) -> Running:
    volumes = {at(one, "name"): at(one, "storageType") for one in at(app.inputs, "template.volumes") or []}
    mounts = {at(one, "mountPath"): at(one, "volumeName") for one in at(container, "volumeMounts") or []}
    scale = at(app.inputs, "template.scale")
    return Running(
        _words(container),
        at(container, "image") or "",
        frozenset(_variables(container)),
        frozenset(_references(container)),
        frozenset(path for path, volume in mounts.items() if volumes.get(volume) == "EmptyDir"),
        {
            str(at(probe, "type")).lower(): (at(probe, "httpGet.path"), str(at(probe, "httpGet.port")))
            for probe in at(container, "probes") or []
            if at(probe, "periodSeconds") and at(probe, "timeoutSeconds") and at(probe, "failureThreshold")
        },
        str(at(container, "resources.cpu") or ""),
        str(at(container, "resources.memory") or ""),
        at(app.inputs, "template.terminationGracePeriodSeconds"),
        at(scale, "minReplicas") or 0,
        at(scale, "maxReplicas") or 0,  # the platform's own would be 10
        str(_variables(container).get("PENSTOCK_PUBLIC_URL", "")),
    )


def _surroundings(there: Azure, app: Captured, container: Any) -> Iterator[str]:
    """What it is told of is there, and is its own."""
    options = dict(zip(_words(container), _words(container)[1:], strict=False))
    clients = {at(one.outputs, "clientId") for one in there.of("managedidentity:UserAssignedIdentity")}
    namespaces = [at(one.inputs, "namespaceName") for one in there.of("eventhub:Namespace")]
    variables = _variables(container)
    client = variables.get("AZURE_CLIENT_ID")
    log = f"kafka+eventhubs://{namespaces[0] if namespaces else ''}?identity={client}"
    if options.get("--log") != log or client not in clients:
        yield f"its log is {options.get('--log')}, and not {log}"
    accounts = [at(one.inputs, "accountName") for one in there.of("storage:StorageAccount")]
    account, store = variables.get("AZURE_STORAGE_ACCOUNT_NAME"), options.get("--artifacts")
    if only(_words(container)) == "courier":
        if account or store:
            yield f"it is told of the store {account} {store}, and has no use for models"
    elif account not in accounts:
        yield f"there is no storage account {account!r} for its artifacts"
    elif str(store).removeprefix("az://").partition("/")[0] not in {
        at(one.inputs, "containerName") for one in there.of("storage:BlobContainer")
    }:
        yield f"there is no container for its artifacts {store!r}"
    if at(app.inputs, "configuration.activeRevisionsMode") != "Single":
        yield "an old revision goes on beside the new one"
    refs = set(_references(container).values()) | {
        at(one, "secretRef")
        for rule in at(app.inputs, "template.scale.rules") or []
        for one in at(rule, "custom.auth") or []
    }
    for secret in at(app.inputs, "configuration.secrets") or []:
        if at(secret, "name") not in refs:
            yield f"nobody uses its secret '{at(secret, 'name')}'"
