"""From an app that was checked to the project's directory."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...declare.planning.findings import FindingCollector
from ...plan.codec import as_json
from ...run.check import CheckedApp
from ..access import DoorAccess, with_access
from ..requirements import requirements_of
from ..targets import not_held, target
from .contents import contents_of
from .directory import GENERATED, ProjectFiles, access_of, write_project
from .image import context_of, image_files
from .own_files import OWN_IMAGE, PROGRAM, item_of, name_of, own_files
from .pins import Pins
from .values import TargetProject, WantedValue, wanted_values

PLAN = "plan.json"


@dataclass(frozen=True, slots=True)
class WrittenProject:
    """``name``: Pulumi's of it. ``sdk``: see ``TargetProject``. ``is_new``: the user's own files were written too.
    ``wanted``: what a stack has to be told. ``remarks``: what a person has to see to."""

    directory: Path
    name: str
    sdk: str
    is_new: bool
    wanted: tuple[WantedValue, ...]
    remarks: tuple[str, ...]


def write(checked: CheckedApp, to: str, directory: Path, access: str | None = None) -> WrittenProject:
    """The project for the target ``to``, whole or not at all. ``access``: as ``DoorAccess.parse`` takes it; None: that
    with which the project was written before, if it was.

    Raises ``DeclarationError`` for what the app or the target cannot hold, ``CannotStart`` for a directory that is not
    this project's, that somebody changed where it is not theirs, or that cannot be written. Nothing has changed then.
    """
    plan, project, directory = checked.resolved.plan, target(to).project, directory.resolve()
    asked = DoorAccess.parse(access_of(directory) if access is None else access)
    FindingCollector([*checked.resolved.findings, *not_held(checked.here, to, asked)]).raise_errors()
    needed, contents = with_access(requirements_of(plan), asked), contents_of(checked, asked)
    wanted = tuple(wanted_values(needed, project))
    context = os.path.relpath(context_of(directory, checked.folder), directory)
    own = own_files(needed, to, project, context, asked)
    generated = {PLAN: as_json(plan) + "\n", **image_files(contents, directory, checked.folder)}
    before = {name: _read(directory / GENERATED / name) for name in generated}
    word = "" if asked is None else asked.word
    is_new = write_project(directory, ProjectFiles(plan.app, to, own, generated, word))
    remarks = [*contents.remarks, *_without_wheel(contents.pins, directory / OWN_IMAGE)]
    if not is_new:
        remarks += _lacks(wanted, word, project, directory / PROGRAM)
        if before != {name: text.encode() for name, text in generated.items()}:
            remarks.append("the app or what it needs has changed: build its image again, push it, and set its digest")
    return WrittenProject(directory, name_of(needed, to), project.sdk, is_new, wanted, tuple(remarks))


def _without_wheel(pins: Pins, folder: Path) -> list[str]:
    """What pip would look for on an index, where it was not installed from one."""
    found = {wheel.name.split("-")[0].lower() + "==" + wheel.name.split("-")[1] for wheel in folder.glob("*-*.whl")}
    return [
        f"{line} was not installed from an index: put its wheel into {folder}, or pip finds none when the image "
        "is built"
        for line in pins.local
        if line.lower().replace("-", "_") not in found
    ]


def _read(file: Path) -> bytes:
    return file.read_bytes() if file.is_file() else b""


def _lacks(wanted: Iterable[WantedValue], access: str, project: TargetProject, program: Path) -> list[str]:
    """What the user's program may not give to the app, as far as the texts in it tell."""
    try:
        tree = ast.parse(program.read_bytes())
    except (OSError, SyntaxError) as error:
        return [f"{program} cannot be read: {error}"]
    told = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    opening = " ".join(f'access="{access}", {project.ingress}'.split())
    closed = bool(access) and not any(isinstance(each, ast.keyword) and each.arg == "access" for each in ast.walk(tree))
    found = [f"{program} may lack {opening}; --access opens the doors"] if closed else []
    return found + [
        f"{program} may lack {'secrets' if value.is_secret else 'settings'}={{{item_of(value)}}}; {value.why}"
        for value in wanted
        if value.variable and value.variable not in told
    ]
