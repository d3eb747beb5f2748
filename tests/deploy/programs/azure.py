"""A right program for Azure, of the size of one page: scalable ingestion without the mistakes of what is copied."""

import pulumi
from pulumi_azure_native import app, authorization, eventhub, keyvault, managedidentity, resources, storage
from pulumi_azure_native.operationalinsights import Workspace, WorkspaceSkuArgs, get_shared_keys_output

ROLES = "/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/"
RECEIVER, SECRETS_USER = "a638d3c7-ab3a-418d-83e6-5f17a39d4fde", "4633458b-17de-408a-b874-0445c86b69e6"
password = pulumi.Output.secret("planted-secret-of-the-app")

group = resources.ResourceGroup("group", resource_group_name="shop", location="westeurope")
namespace = eventhub.Namespace(
    "events",
    namespace_name="shop-events",
    resource_group_name=group.name,
    location=group.location,
    sku=eventhub.SkuArgs(name=eventhub.SkuName.STANDARD, tier=eventhub.SkuTier.STANDARD, capacity=1),
    kafka_enabled=True,
    is_auto_inflate_enabled=True,
    maximum_throughput_units=4,
    minimum_tls_version="1.2",
)
hub = eventhub.EventHub(
    "orders",
    event_hub_name="orders",
    namespace_name=namespace.name,
    resource_group_name=group.name,
    partition_count=4,
    message_retention_in_days=1,
)
readers = eventhub.ConsumerGroup(
    "prepare",
    consumer_group_name="prepare",
    event_hub_name=hub.name,
    namespace_name=namespace.name,
    resource_group_name=group.name,
)
rule = eventhub.EventHubAuthorizationRule(
    "producers",
    authorization_rule_name="producers",
    event_hub_name=hub.name,
    namespace_name=namespace.name,
    resource_group_name=group.name,
    rights=[eventhub.AccessRights.SEND],
)
scaler = eventhub.EventHubAuthorizationRule(
    "scaler",
    authorization_rule_name="scaler",
    event_hub_name=hub.name,
    namespace_name=namespace.name,
    resource_group_name=group.name,
    rights=[eventhub.AccessRights.LISTEN],
)


def connection(of: eventhub.EventHubAuthorizationRule) -> pulumi.Output[str]:
    keys = eventhub.list_event_hub_keys_output(
        resource_group_name=group.name,
        namespace_name=namespace.name,
        event_hub_name=hub.name,
        authorization_rule_name=of.name,
    )
    return pulumi.Output.secret(keys.primary_connection_string)


account = storage.StorageAccount(
    "artifacts",
    account_name="shopartifacts",
    resource_group_name=group.name,
    kind=storage.Kind.STORAGE_V2,
    sku=storage.SkuArgs(name=storage.SkuName.STANDARD_LRS),
    allow_blob_public_access=False,
    allow_shared_key_access=False,
    minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
)
container = storage.BlobContainer(
    "artifacts", container_name="artifacts", account_name=account.name, resource_group_name=group.name
)
model = storage.Blob(
    "model",
    blob_name="model.onnx",
    container_name=container.name,
    account_name=account.name,
    resource_group_name=group.name,
    source=pulumi.FileAsset("azure.py"),
)
client = authorization.get_client_config_output()
vault = keyvault.Vault(
    "vault",
    vault_name="shop-vault",
    resource_group_name=group.name,
    properties=keyvault.VaultPropertiesArgs(
        tenant_id=client.tenant_id,
        sku=keyvault.SkuArgs(family=keyvault.SkuFamily.A, name=keyvault.SkuName.STANDARD),
        enable_rbac_authorization=True,
    ),
)
key = keyvault.Secret(
    "key",
    secret_name="api-key",
    vault_name=vault.name,
    resource_group_name=group.name,
    properties=keyvault.SecretPropertiesArgs(value=password),
)
worker = managedidentity.UserAssignedIdentity("worker", resource_name_="shop-worker", resource_group_name=group.name)


def grant(name: str, role: str, scope: pulumi.Input[str]) -> authorization.RoleAssignment:
    return authorization.RoleAssignment(
        name,
        principal_id=worker.principal_id,
        principal_type=authorization.PrincipalType.SERVICE_PRINCIPAL,
        role_definition_id=pulumi.Output.format(ROLES + role, client.subscription_id),
        scope=scope,
    )


may_read, may_look_up = grant("read", RECEIVER, hub.id), grant("look-up", SECRETS_USER, key.id)
workspace = Workspace(
    "logs", workspace_name="shop-logs", resource_group_name=group.name, sku=WorkspaceSkuArgs(name="PerGB2018")
)
shared = get_shared_keys_output(resource_group_name=group.name, workspace_name=workspace.name)
environment = app.ManagedEnvironment(
    "environment",
    environment_name="shop",
    resource_group_name=group.name,
    app_logs_configuration=app.AppLogsConfigurationArgs(
        destination="log-analytics",
        log_analytics_configuration=app.LogAnalyticsConfigurationArgs(
            customer_id=workspace.customer_id,
            shared_key=pulumi.Output.secret(shared.primary_shared_key),
        ),
    ),
)
service = app.ContainerApp(
    "worker",
    container_app_name="shop-worker",
    resource_group_name=group.name,
    managed_environment_id=environment.id,
    identity=app.ManagedServiceIdentityArgs(
        type=app.ManagedServiceIdentityType.USER_ASSIGNED, user_assigned_identities=[worker.id]
    ),
    configuration=app.ConfigurationArgs(
        active_revisions_mode=app.ActiveRevisionsMode.SINGLE,
        secrets=[
            app.SecretArgs(name="api-key", key_vault_url=key.properties.secret_uri, identity=worker.id),
            app.SecretArgs(name="lag", value=connection(scaler)),
            app.SecretArgs(name="lag-user", value=pulumi.Output.secret("$ConnectionString")),
        ],
    ),
    template=app.TemplateArgs(
        containers=[
            app.ContainerArgs(
                name="worker",
                image="registry.example/shop@sha256:" + "0" * 64,
                args=["run", "/app/app.py", "--only", "workers"],
                env=[
                    app.EnvironmentVarArgs(name="AZURE_CLIENT_ID", value=worker.client_id),
                    app.EnvironmentVarArgs(name="API_KEY", secret_ref="api-key"),
                    app.EnvironmentVarArgs(name="SHOP_URL", value="https://shop.example"),
                ],
                resources=app.ContainerResourcesArgs(cpu=0.5, memory="1Gi"),
                probes=[
                    app.ContainerAppProbeArgs(
                        type=app.Type.READINESS, http_get=app.ContainerAppProbeHttpGetArgs(port=8081, path="/readyz")
                    )
                ],
                volume_mounts=[app.VolumeMountArgs(volume_name="data", mount_path="/data")],
            )
        ],
        volumes=[app.VolumeArgs(name="data", storage_type=app.StorageType.EMPTY_DIR)],
        scale=app.ScaleArgs(
            min_replicas=1,
            max_replicas=5,
            rules=[
                app.ScaleRuleArgs(
                    name="lag",
                    custom=app.CustomScaleRuleArgs(
                        type="kafka",
                        metadata={
                            "bootstrapServers": pulumi.Output.format("{}.servicebus.windows.net:9093", namespace.name),
                            "consumerGroup": readers.name,
                            "topic": hub.name,
                            "lagThreshold": "1000",
                            "sasl": "plaintext",
                            "tls": "enable",
                            "offsetResetPolicy": "earliest",
                        },
                        auth=[
                            app.ScaleRuleAuthArgs(secret_ref="lag-user", trigger_parameter="username"),
                            app.ScaleRuleAuthArgs(secret_ref="lag", trigger_parameter="password"),
                        ],
                    ),
                )
            ],
        ),
    ),
)

pulumi.export("bootstrap", pulumi.Output.format("{}.servicebus.windows.net:9093", namespace.name))
pulumi.export("producers", connection(rule))
