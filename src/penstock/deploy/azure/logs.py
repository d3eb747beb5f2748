"""The namespace of Event Hubs, a hub a topic, a consumer group a reader, and rules for those who sign in with keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import eventhub

from ...log.broker_limits import HUB_RETENTION_HOURS
from ..requirements import PRODUCERS, SCALER, RequiredLog, Requirements
from .args import PenstockAppArgs
from .limits import HOUR_US
from .names import AzureSite

NAMESPACE_NAME_LIMIT_CHARS = 50
DOMAIN = "servicebus.windows.net"
KAFKA_PORT = 9093
KEYS = {SCALER: eventhub.AccessRights.LISTEN, PRODUCERS: eventhub.AccessRights.SEND}
"""Who signs in with a key, since no identity can be given to them: KEDA's scaler, and clients outside of Azure."""


@dataclass(frozen=True, slots=True)
class EventHubs:
    """``hubs`` by the topic's name. ``connections``: a secret connection string a hub, for each of ``KEYS``."""

    namespace: eventhub.Namespace
    hubs: Mapping[str, eventhub.EventHub]
    groups: tuple[eventhub.ConsumerGroup, ...]
    connections: Mapping[str, Mapping[str, pulumi.Output[str]]]

    @property
    def endpoint(self) -> pulumi.Output[str]:
        """``HOST:PORT`` for Kafka's clients."""
        return pulumi.Output.format("{}.{}:{}", self.namespace.name, DOMAIN, str(KAFKA_PORT))


def make_logs(site: AzureSite, args: PenstockAppArgs, needed: Requirements) -> EventHubs:
    namespace = _namespace(site, args)
    hubs = {log.name: _hub(site, namespace, log) for log in needed.logs}
    groups = [_group(site, hubs[log.name], namespace, group) for log in needed.logs for group in own_groups(log)]
    topics = {identity.service: [right.what for right in identity.rights] for identity in needed.identities}
    connections = {who: _connections(site, namespace, hubs, who, topics[who]) for who in KEYS}
    return EventHubs(namespace, hubs, tuple(groups), connections)


def own_groups(log: RequiredLog) -> list[str]:
    """The consumer groups that are made beforehand: of who reads under their own name. Those in which events are put
    back are made by use, as Kafka's are."""
    return [reader.group for reader in log.readers if reader.group == reader.who]


def _namespace(site: AzureSite, args: PenstockAppArgs) -> eventhub.Namespace:
    return eventhub.Namespace(
        site.logical("events"),
        namespace_name=site.worldwide(args.event_hubs_namespace, NAMESPACE_NAME_LIMIT_CHARS),
        resource_group_name=site.group,
        location=site.location,
        sku=eventhub.SkuArgs(
            name=eventhub.SkuName.STANDARD, tier=eventhub.SkuTier.STANDARD, capacity=args.throughput_units
        ),
        kafka_enabled=True,
        is_auto_inflate_enabled=True,
        maximum_throughput_units=args.max_throughput_units,
        minimum_tls_version=eventhub.TlsVersion.TLS_VERSION_1_2,
        disable_local_auth=False,  # those in ``KEYS`` have no other way in
        tags=site.tags,
        opts=site.options(),
    )


def _hub(site: AzureSite, namespace: eventhub.Namespace, log: RequiredLog) -> eventhub.EventHub:
    return eventhub.EventHub(
        site.logical("hub", log.name),
        event_hub_name=log.name,
        namespace_name=namespace.name,
        resource_group_name=site.group,
        partition_count=log.partitions,
        retention_description=eventhub.RetentionDescriptionArgs(  # in hours; in days beside it would say it twice
            cleanup_policy=eventhub.CleanupPolicyRetentionDescription.DELETE,
            retention_time_in_hours=kept_hours(log),
        ),
        opts=site.options(),
    )


def kept_hours(log: RequiredLog) -> int:
    """Penstock's own are kept for as long as the tier keeps anything: see ``limits.REMARKS``."""
    return HUB_RETENTION_HOURS if log.is_internal or log.retain_us is None else log.retain_us // HOUR_US


def _group(
    site: AzureSite, hub: eventhub.EventHub, namespace: eventhub.Namespace, group: str
) -> eventhub.ConsumerGroup:
    return eventhub.ConsumerGroup(
        site.logical("group", group),
        consumer_group_name=group,
        event_hub_name=hub.name,
        namespace_name=namespace.name,
        resource_group_name=site.group,
        opts=site.options(),
    )


def _connections(
    site: AzureSite,
    namespace: eventhub.Namespace,
    hubs: Mapping[str, eventhub.EventHub],
    who: str,
    topics: Iterable[str],
) -> Mapping[str, pulumi.Output[str]]:
    """A rule on each hub alone: one of the namespace would be of all of them."""
    found = {}
    for topic in dict.fromkeys(topics):
        rule = eventhub.EventHubAuthorizationRule(
            site.logical("rule", who, topic),
            authorization_rule_name=who,
            event_hub_name=hubs[topic].name,
            namespace_name=namespace.name,
            resource_group_name=site.group,
            rights=[KEYS[who]],
            opts=site.options(),
        )
        keys = eventhub.list_event_hub_keys_output(
            authorization_rule_name=rule.name,
            event_hub_name=hubs[topic].name,
            namespace_name=namespace.name,
            resource_group_name=site.group,
            opts=site.asking(rule),
        )
        found[topic] = pulumi.Output.secret(keys.primary_connection_string)
    return found
