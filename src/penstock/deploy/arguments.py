"""What the components of all targets are told, looked at before any resource is made."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ..declare.planning.findings import FindingCollector
from ..errors import DeclarationError
from ..plan.codec import plan_from_bytes
from ..plan.plan import Plan
from ..settings import Settings
from .access import DoorAccess, checked_secret, with_access
from .containers import PUBLIC_URL, TOLD_URL, Doors
from .requirements import RequiredSecret, RequiredSetting, Requirements, requirements_of

if TYPE_CHECKING:
    import pulumi

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")
OWN = tuple(f"PENSTOCK_{each.name.upper()}" for each in fields(Settings))
"""The settings of Penstock itself, which every app may be given."""

ANSWER_MARGIN_S = 10.0  # seconds beside those that a door waits, in which an answer is on its way


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """What an app needs with the access that it was given, and how the gateway's doors are then."""

    needed: Requirements
    access: DoorAccess | None
    doors: Doors
    answer_s: int | None  # seconds that a request may take until its answer is there; None: known later


def opened(
    plan: Plan,
    access: str,
    settings: Mapping[str, pulumi.Input[str]],
    secrets: Mapping[str, pulumi.Input[str]],
    *,
    has_ingress: bool,
) -> OpenedApp:
    """Raises ``DeclarationError`` for an ingress to doors that ask nobody, and as ``DoorAccess.parse``, ``with_access``
    and ``requirements_of`` do."""
    asked = DoorAccess.parse(access, secrets)
    if has_ingress and asked is None:
        raise DeclarationError(
            "ingress: it would let everybody publish, read and register models, since nobody is asked who he is: give "
            'the component access="keys" too, or leave the ingress away'
        )
    needed = with_access(requirements_of(plan), asked)
    return OpenedApp(needed, asked, Doors(asked is not None, has_ingress), _answer_s(settings))


def _answer_s(settings: Mapping[str, pulumi.Input[str]]) -> int | None:
    """A body that arrives as slowly as it may, and then ``?wait=``. Raises ``DeclarationError`` for no number."""
    names = ("PENSTOCK_BODY_TIMEOUT", "PENSTOCK_WAIT_LIMIT")
    given = {name: settings[name] for name in names if name in settings}
    known = {name: value for name, value in given.items() if isinstance(value, str)}
    if len(known) < len(given):
        return None
    found = Settings.from_env(known)
    return math.ceil(found.body_timeout + found.wait_limit + ANSWER_MARGIN_S)


def settings_told(
    settings: Mapping[str, pulumi.Input[str]], service: str, public_url: pulumi.Input[str] | None
) -> dict[str, pulumi.Input[str]]:
    """What was given, and where the ingress is, for those who say so to others; who gave another URL, such as a
    proxy's before the ingress, has that."""
    told = {PUBLIC_URL: public_url} if public_url is not None and service in TOLD_URL else {}
    return {**told, **settings}


def secret_value(secrets: Mapping[str, pulumi.Input[str]], name: str) -> pulumi.Output[str]:
    """Secret from here on, and looked at once it is known; what is wrong with it does not say it."""
    import pulumi

    found: pulumi.Output[str] = pulumi.Output.secret(secrets[name]).apply(partial(checked_secret, name))
    return found


def read_plan(given: str | Path | Plan) -> Plan:
    """Raises ``DeclarationError`` for a file that cannot be read, ``PlanRefused`` for one that is no plan."""
    if isinstance(given, Plan):
        return given
    try:
        return plan_from_bytes(Path(given).read_bytes())
    except OSError as error:
        raise DeclarationError(f"plan: {given}: {error.strerror}; penstock check APP --plan makes one") from None


def file_in_image(plan: Plan) -> str:
    """What the app is called there: ``/app/FILE.py``, or with ``:VARIABLE``.

    Raises ``DeclarationError`` for a plan that was made of a module.
    """
    source, _, variable = plan.target.rpartition(":")
    if not source.endswith(".py"):
        raise DeclarationError(f"plan: the app is '{plan.target}', a module: make the plan of its file, APP.py")
    return f"/app/{PurePath(source).name}" + ("" if variable == "app" else f":{variable}")


def check_image(image: str) -> str:
    """The same. Raises ``DeclarationError`` for one without its digest."""
    if not IMAGE.fullmatch(image):
        raise DeclarationError(
            f"image: '{image}' names no digest, and what a tag names may change under a running app: write "
            "NAME@sha256:…, as docker inspect and the registry show it"
        )
    return image


def check_values(
    needed: Requirements,
    given_settings: Mapping[str, pulumi.Input[str]],
    given_secrets: Mapping[str, pulumi.Input[str]],
    report: FindingCollector,
) -> None:
    """Adds to the report what has no value, what nobody looks up, and a secret that would be in the clear.

    Raises ``DeclarationError`` for a setting of Penstock's own that is not what it has to be.
    """
    secrets, settings = [each.name for each in needed.secrets], [each.name for each in needed.settings]
    for secret in needed.secrets:
        value = given_secrets.get(secret.name)
        if value is None and secret.reason.place:
            _missing(secret, "secret", f"secrets={{{secret.name!r}: …}}", report)
        elif value is None:
            message = f"access: {secret.name} has no value, {secret.reason.text}"
            report.error(needed.reason.place, message, f"give the component secrets={{{secret.name!r}: …}}")
        elif isinstance(value, str):
            checked_secret(secret.name, value)
    for setting in needed.settings:
        if setting.default is None and given_settings.get(setting.name) is None:
            _missing(setting, "env", f"settings={{{setting.name!r}: …}}", report)
    for title, given, known in (
        ("secrets", given_secrets, secrets),
        ("settings", given_settings, [*settings, *OWN]),
    ):
        for name in given:
            if title == "settings" and name in secrets:
                message = f"settings: '{name}' is a secret of the app, and would be in the clear"
                report.error(needed.reason.place, message, f"give the component secrets={{{name!r}: …}}")
            elif name not in known:
                there = ", ".join(secrets if title == "secrets" else settings) or "none"
                message = f"{title}: the app looks up no '{name}'"
                report.error(needed.reason.place, message, f"leave it away; it looks up {there}")
    Settings.from_env({name: value for name, value in given_settings.items() if isinstance(value, str)})


def _missing(what: RequiredSecret | RequiredSetting, kind: str, mend: str, report: FindingCollector) -> None:
    report.error(what.reason.place, f"ps.{kind}({what.name!r}) has no value", f"give the component {mend}")
