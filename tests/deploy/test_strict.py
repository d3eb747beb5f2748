"""Each mistake that a widely copied program has, or that mocks let pass, planted in a right program.

``docs/deploy-testing.md`` lists them, and those that are about services of which neither target makes a resource.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.deploy import strict
from tests.deploy.capture import Program, capture
from tests.deploy.programs import AZURE, KUBERNETES, program

pytestmark = pytest.mark.clouds


def check(made: Program) -> None:
    found = strict.check(made, AZURE.parent)
    assert not found, "\n".join(found)


@pytest.mark.parametrize("file", [AZURE, KUBERNETES], ids=["azure", "kubernetes"])
def test_a_right_program_is_right(file: Path) -> None:
    check(capture(program(file)))


STANDARD = "sku=eventhub.SkuArgs(name=eventhub.SkuName.STANDARD, tier=eventhub.SkuTier.STANDARD, capacity=1),"
BASIC = STANDARD.replace("STANDARD", "BASIC")
EXPORT = 'pulumi.export("producers", connection(rule))'
ROOT = """keys = eventhub.list_namespace_keys_output(
    resource_group_name=group.name, namespace_name=namespace.name, authorization_rule_name="RootManageSharedAccessKey"
)
pulumi.export("root", pulumi.Output.secret(keys.primary_connection_string))"""
PASSWORD = 'app.ScaleRuleAuthArgs(secret_ref="lag", trigger_parameter="password"),'
AGAIN = """eventhub.EventHub(
    "orders", event_hub_name="two", namespace_name=namespace.name, resource_group_name=group.name, partition_count=1,
    message_retention_in_days=1, opts=pulumi.ResourceOptions(depends_on=[hub]),
)"""
ON_AZURE = {
    # what mocks let pass
    "an enumeration that is misspelt": (
        STANDARD,
        STANDARD.replace("eventhub.SkuName.STANDARD", '"Standrd"'),
        "'Standrd' is none of SkuName: Basic, Standard, Premium",
    ),
    "a key that is misspelt": (
        STANDARD,
        'sku={"nam": "Standard", "tier": "Standard", "capacity": 1},',
        "sku.nam: SkuArgs has no such key; there are capacity, name, tier",
    ),
    "a key in the wrong case": (
        "                probes=[",
        '                probes=[{"type": "Liveness", "http_Get": {"port": 1}},',
        "http_Get: ContainerAppProbeArgs has no such key; it is httpGet",
    ),
    "a text for a flag": ("kafka_enabled=True", 'kafka_enabled="yes"', "kafkaEnabled: 'yes' is no true or false"),
    "a name that is illegal": (
        'account_name="shopartifacts"',
        'account_name="Shop_Artifacts"',
        "'Shop_Artifacts' is no name that storage:StorageAccount may have: 3 to 24",
    ),
    "a name that is too long": (
        'vault_name="shop-vault"',
        'vault_name="shop-vault-of-the-european-branch"',
        "is no name that keyvault:Vault may have",
    ),
    "far too many partitions": (
        "partition_count=4",
        "partition_count=99999",
        "partitionCount: 99999: a hub of the Standard tier has 1 to 32",
    ),
    "a pair that Consumption has not": (
        'cpu=0.5, memory="1Gi"',
        'cpu=0.5, memory="1.5Gi"',
        "each with twice as many GiB, not 0.5 with 1.5Gi",
    ),
    "the same logical name twice": (
        EXPORT,
        AGAIN,
        "two resources have one URN: urn:pulumi:dev::app::azure-native:eventhub:EventHub::orders",
    ),
    "a file that is not there": ('FileAsset("azure.py")', 'FileAsset("code.zip")', "source: there is no file code.zip"),
    "a secret in an output": (
        EXPORT,
        EXPORT.replace("connection(rule)", "pulumi.Output.unsecret(connection(rule))"),
        "export: producers: a secret in the clear",
    ),
    "a secret in an input": (
        'value="https://shop.example"',
        "value=pulumi.Output.unsecret(password)",
        r"env\[2\].value: a secret in the clear",
    ),
    "the key of a workspace in the clear": (
        "shared_key=pulumi.Output.secret(shared.primary_shared_key)",
        "shared_key=shared.primary_shared_key",
        "sharedKey: a secret in the clear",
    ),
    "an output that is nothing": (
        EXPORT,
        'pulumi.export("url", service.configuration.apply(lambda c: f"https://{c.ingress}"))',
        "export: url: 'https://None' is nothing",
    ),
    # scalable ingestion
    "auto-inflate that is not enabled": (
        "    is_auto_inflate_enabled=True,\n",
        "",
        "a maximum of throughput units without auto-inflate",
    ),
    "auto-inflate without a maximum": ("    maximum_throughput_units=4,\n", "", "auto-inflate needs a maximum"),
    "a tier without Kafka": (STANDARD, BASIC, "Basic does not speak Kafka's protocol"),
    "the root key": (EXPORT, ROOT, "export: root: the namespace's root key, which may do all"),
    "a hub that is made twice": (
        EXPORT,
        AGAIN.replace('"orders"', '"again"').replace('"two"', '"Orders"'),
        "there is one already that has the id .*/eventhubs/Orders",
    ),
    # of a container app
    "no environment": ("    managed_environment_id=environment.id,\n", "", "a container app runs in an environment"),
    "an environment that is none": (
        "managed_environment_id=environment.id",
        "managed_environment_id=workspace.id",
        "managedEnvironmentId: it is no environment",
    ),
    "the ingress in the wrong place": (
        "template=app.TemplateArgs(",
        "template=app.TemplateArgs(ingress=app.IngressArgs(target_port=80),",
        "unexpected keyword argument 'ingress'",
    ),
    "the resources in the wrong place": (
        "        volumes=[",
        '        init_containers=[{"name": "a", "image": "b", "cpu": 0.5}],\n        volumes=[',
        r"initContainers\[0\].cpu: InitContainerArgs has no such key",
    ),
    "no scale rule": (
        "            rules=[",
        "            rules=[] if True else [",
        "nothing says when there are more: it has no rule",
    ),
    "a scaler without its secret": (PASSWORD, "", "scaler kafka needs password"),
    "a scaler with a number": ('"lagThreshold": "1000"', '"lagThreshold": 1000', "lagThreshold: 1000 is no text"),
    # references
    "a secret that the app has not": (
        'secret_ref="api-key"',
        'secret_ref="api_key"',
        "the container app has no secret 'api_key'",
    ),
    "a volume that there is not": ('volume_name="data"', 'volume_name="date"', "there is no volume 'date'"),
    "an identity of somebody else": (
        "key_vault_url=key.properties.secret_uri, identity=worker.id",
        "key_vault_url=key.properties.secret_uri, identity=vault.id",
        "the container app has no such identity",
    ),
    "a namespace that nobody makes": (
        'pulumi.Output.format("{}.servicebus.windows.net:9093", namespace.name),\n                            "cons',
        '"other.servicebus.windows.net:9093",\n                            "cons',
        "namespace 'other' was not made",
    ),
    "a hub that nobody makes": (
        'consumer_group_name="prepare",\n    event_hub_name=hub.name',
        'consumer_group_name="prepare",\n    event_hub_name="other"',
        "there is no eventhub:EventHub 'other' for the eventhub:ConsumerGroup",
    ),
    "a role that there is not": (
        "a638d3c7-ab3a-418d-83e6-5f17a39d4fde",
        "a638d3c7-ab3a-418d-83e6-5f17a39d4fd0",
        "there is no role a638d3c7-ab3a-418d-83e6-5f17a39d4fd0",
    ),
    "a principal that is no principal": (
        "principal_id=worker.principal_id",
        "principal_id=worker.id",
        "there is no principal /subscriptions",
    ),
    # others
    "older encryption": (
        "    minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,\n",
        "",
        "minimumTlsVersion: older than TLS 1.2",
    ),
    "blobs that anybody reads": (
        "allow_blob_public_access=False",
        "allow_blob_public_access=True",
        "anybody could be let in to the blobs",
    ),
    "a vault that knows no roles": ("        enable_rbac_authorization=True,\n", "", "without it roles mean nothing"),
    "a week and a day": (
        "message_retention_in_days=1",
        "message_retention_in_days=8",
        "the Standard tier keeps 1 hour to 7 days",
    ),
    "no retention": ("    message_retention_in_days=1,\n", "", "how long events are kept is not said"),
    "a type that no judge knows": (
        EXPORT,
        'resources.Deployment("d", resource_group_name=group.name, properties={})',
        "no judge knows azure-native:resources:Deployment",
    ),
}


@pytest.mark.parametrize("mistake", ON_AZURE)
def test_a_mistake_on_azure_is_found(mistake: str) -> None:
    old, new, why = ON_AZURE[mistake]
    changed = program(AZURE, (old, new))
    with pytest.raises((AssertionError, TypeError), match=why):
        check(capture(changed))


def test_a_type_that_the_sdk_has_not_is_found_by_python() -> None:
    changed = program(AZURE, ("namespace = eventhub.Namespace(", "namespace = eventhub.EventHubNamespace("))
    with pytest.raises(AttributeError, match="has no attribute 'EventHubNamespace'"):
        capture(changed)


SELECTOR = "spec=PodDisruptionBudgetSpecArgs(selector=pods, max_unavailable=1)"
ON_KUBERNETES = {
    "an enumeration that is misspelt": (
        'image_pull_policy="IfNotPresent"',
        'image_pull_policy="IfPresent"',
        "imagePullPolicy: 'IfPresent' is none of Always, IfNotPresent, Never",
    ),
    "a key that is misspelt": (
        'http_get=HTTPGetActionArgs(path="/readyz", port="probes")',
        'http_get={"pth": "/readyz", "port": "probes"}',
        "httpGet.pth: HTTPGetActionArgs has no such key",
    ),
    "a key in the wrong case": (
        'metadata=meta("shop-settings")',
        'metadata={"Name": "shop-settings"}',
        "metadata.Name: ObjectMetaArgs has no such key; it is name",
    ),
    "a name that is illegal": (
        'meta("shop-secrets")',
        'meta("shop_secrets")',
        "'shop_secrets' is no name that core/v1:Secret may have",
    ),
    "a secret in a map that everybody reads": (
        'data={"SHOP_URL": "https://shop.example"}',
        'data={"SHOP_URL": pulumi.Output.unsecret(password)}',
        "data.SHOP_URL: a secret in the clear",
    ),
    "a secret in a variable": (
        "                        ports=[",
        "                        args=[pulumi.Output.unsecret(password)],\n                        ports=[",
        r"args\[0\]: a secret in the clear",
    ),
    "a key that the secret has not": ('key="API_KEY"', 'key="APIKEY"', "Secret 'shop-secrets' has no key 'APIKEY'"),
    "a map that nobody makes": (
        "ConfigKey(name=settings.metadata.name",
        'ConfigKey(name="other"',
        "there is no ConfigMap 'other'",
    ),
    "an account that nobody makes": (
        "service_account_name=account.metadata.name",
        'service_account_name="other"',
        "there is no ServiceAccount 'other'",
    ),
    "a volume that there is not": (
        'VolumeMountArgs(name="data"',
        'VolumeMountArgs(name="date"',
        "there is no volume 'date'",
    ),
    "a port that there is not": ('port="probes")', 'port="probe")', "there is no port 'probe'"),
    "an amount that is none": ('"memory": "250Mi"', '"memory": "250 MiB"', "'250 MiB' is no amount"),
    "pods that are not selected": (
        "metadata=ObjectMetaArgs(labels=labels)",
        'metadata=ObjectMetaArgs(labels={"a": "b"})',
        "the selector does not match the pods",
    ),
    "a budget for nobody": (
        SELECTOR,
        SELECTOR.replace("selector=pods", 'selector=LabelSelectorArgs(match_labels={"a": "b"})'),
        "no Deployment has such pods",
    ),
    "a scale of nothing": (
        '"scaleTargetRef": {"name": worker.metadata.name}',
        '"scaleTargetRef": {"name": "work"}',
        "there is no Deployment 'work'",
    ),
    "no trigger": ('        "triggers": [', '        "trigger": [', "nothing says when there are more"),
    "a trigger that is misspelt": (
        '"consumerGroup": "shop.prepare"',
        '"consumer_group": "shop.prepare"',
        "scaler kafka needs consumerGroup",
    ),
    "a trigger that knows nobody": (
        '"authenticationRef": {"name": known.metadata.apply(lambda of: of["name"])}',
        '"authenticationRef": {"name": "other"}',
        "there is no TriggerAuthentication 'other'",
    ),
    "the same logical name twice": (
        'pulumi.export("deployment", worker.metadata.name)',
        'ConfigMap("settings", metadata=meta("more"), data={"a": "b"})',
        "two resources have one URN",
    ),
    "a namespace that nobody makes": (
        "return ObjectMetaArgs(name=name, labels=labels)",
        'return ObjectMetaArgs(name=name, labels=labels, namespace="prod")',
        "there is no namespace 'prod'",
    ),
    "a label that is none": (
        '"app.kubernetes.io/component": "worker"',
        '"app.kubernetes.io/component": "a worker"',
        "component=a worker is no label",
    ),
}


@pytest.mark.parametrize("mistake", ON_KUBERNETES)
def test_a_mistake_on_kubernetes_is_found(mistake: str) -> None:
    old, new, why = ON_KUBERNETES[mistake]
    changed = program(KUBERNETES, (old, new))
    with pytest.raises((AssertionError, TypeError), match=why):
        check(capture(changed))
