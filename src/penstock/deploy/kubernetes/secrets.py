"""Settings and secrets as pods have them: environment variables that refer to a key of an object, each by its own name.

A secret is in the pods of those services alone that look it up, or that sign in with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..arguments import OWN, secret_value, settings_told
from .names import artifacts_secret, kafka_secret, settings_map

if TYPE_CHECKING:
    import pulumi

    from .args import CheckedArgs
    from .names import ObjectNames

MIB = 1 << 20
RUNNER_SHARE = 0.75  # of a worker's memory may be a runner's; the rest is for the worker and the other runners
CACHE_SHARE = 0.75  # of the data volume may be models; the rest is for those that come in


@dataclass(frozen=True, slots=True)
class VariableSource:
    """A ConfigMap or a Secret of this name, and the variables that it holds."""

    resource: Any
    name: str
    variables: tuple[str, ...]
    is_secret: bool

    def env(self) -> Iterable[Any]:
        """An ``EnvVarArgs`` a variable: a reference, so that no value stands in a pod."""
        from pulumi_kubernetes.core.v1 import (
            ConfigMapKeySelectorArgs,
            EnvVarArgs,
            EnvVarSourceArgs,
            SecretKeySelectorArgs,
        )

        for variable in self.variables:
            if self.is_secret:
                found = EnvVarSourceArgs(secret_key_ref=SecretKeySelectorArgs(name=self.name, key=variable))
            else:
                found = EnvVarSourceArgs(config_map_key_ref=ConfigMapKeySelectorArgs(name=self.name, key=variable))
            yield EnvVarArgs(name=variable, value_from=found)

    @property
    def version(self) -> pulumi.Output[str]:
        """Another one whenever a value changes; it says nothing of the value. Empty where no server gave one."""
        version: pulumi.Output[str] = self.resource.metadata.apply(lambda meta: meta.resource_version or "")
        return version


def settings_of(checked: CheckedArgs, service: str, data_mib: int) -> dict[str, pulumi.Input[str]]:
    """Penstock's limits as far as the pods' say them: who reaches his own is told why, who reaches the pod's is killed.
    Whoever has models has the same, for the gateway takes no model that a runner could not load. And what was given: of
    the app's own what something in the service looks up."""
    found: dict[str, pulumi.Input[str]] = {}
    if checked.needed.has_models(service):
        memory = checked.given.worker_pods.memory_limit_mib
        found["PENSTOCK_RUNNER_MEMORY"] = str(int(memory * MIB * RUNNER_SHARE))
        found["PENSTOCK_ARTIFACT_CACHE"] = str(int(data_mib * MIB * CACHE_SHARE))
    known = {*checked.needed.settings_of(service), *OWN}
    ingress = checked.given.ingress
    told = settings_told(checked.given.settings, service, f"https://{ingress.host}" if ingress else None)
    return found | {name: value for name, value in told.items() if name in known}


def variable_sources(
    checked: CheckedArgs, names: ObjectNames, data_mib: int, opts: Any
) -> Mapping[str, list[VariableSource]]:
    """Of each service: makes the objects."""
    args, needed = checked.given, checked.needed
    kept = {
        secret.name: secret_object(names, secret.name, {secret.name: secret_value(args.secrets, secret.name)}, opts)
        for secret in needed.secrets
    }
    found: dict[str, list[VariableSource]] = {}
    for service in (each.name for each in needed.services):
        asked = needed.secrets_of(service)
        settings = settings_of(checked, service, data_mib)
        found[service] = [config_map(names, settings_map(service), settings, opts)] if settings else []
        found[service] += [kept[name] for name in kept if name in asked]
        if credentials := args.kafka_credentials.get(service):
            values = {"KAFKA_USER": credentials.user, "KAFKA_PASSWORD": credentials.password}
            found[service].append(secret_object(names, kafka_secret(service), values, opts))
        if variables := args.artifact_credentials.get(service):
            found[service].append(secret_object(names, artifacts_secret(service), variables, opts))
    return found


def config_map(names: ObjectNames, name: str, values: Mapping[str, pulumi.Input[str]], opts: Any) -> VariableSource:
    from pulumi_kubernetes.core.v1 import ConfigMap

    made = ConfigMap(names.logical(name), metadata=names.metadata(name), data=dict(values), opts=opts)
    return VariableSource(made, names.of(name), tuple(values), False)


def secret_object(names: ObjectNames, name: str, values: Mapping[str, pulumi.Input[str]], opts: Any) -> VariableSource:
    """Its values are secret from here on, whatever they were."""
    import pulumi
    from pulumi_kubernetes.core.v1 import Secret

    hidden = {key: pulumi.Output.secret(value) for key, value in values.items()}
    made = Secret(names.logical(name), metadata=names.metadata(name), string_data=hidden, type="Opaque", opts=opts)
    return VariableSource(made, names.of(name), tuple(values), True)
