"""What the components of all targets are told, looked at before any resource is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from ..declare.planning.findings import FindingCollector
from ..errors import DeclarationError
from ..plan.codec import plan_from_bytes
from ..plan.plan import Plan
from ..settings import Settings
from .requirements import RequiredSecret, RequiredSetting, Requirements

if TYPE_CHECKING:
    import pulumi

IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*@sha256:[0-9a-f]{64}")
OWN = tuple(f"PENSTOCK_{each.name.upper()}" for each in fields(Settings))
"""The settings of Penstock itself, which every app may be given."""


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
        if given_secrets.get(secret.name) is None:
            _missing(secret, "secret", f"secrets={{{secret.name!r}: …}}", report)
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
