"""The files of a project that are the user's: written when it is made, and never again."""

from __future__ import annotations

import json
from importlib.metadata import version

from ...access.admin import ADMIN_KEY
from ...errors import DISTRIBUTION
from ..access import DoorAccess, is_open
from ..requirements import Requirements
from .values import IMAGE, TargetProject, WantedValue, wanted_values

STACK = "dev"
PROGRAM, STACK_FILE, REQUIREMENTS = "__main__.py", f"Pulumi.{STACK}.yaml", "requirements.txt"
VENV = "venv"
PUBLIC_URL = "public_url"
OPENED = (
    ("pulumi stack output public_url", "where the doors are open"),
    (f"export PENSTOCK_KEY=$(pulumi config get {ADMIN_KEY})", "the first key, for the commands that follow"),
    ("penstock keys list --url $(pulumi stack output public_url)", "whose keys there are; keys create makes others"),
)
"""What is typed after the doors were opened."""

OWN_IMAGE = "image"
"""The folder for what goes into the image besides: wheels, files, further requirements."""


def own_files(
    needed: Requirements, target: str, project: TargetProject, context: str, access: DoorAccess | None
) -> dict[str, str]:
    """Each file's text by its path. ``context``: the folder that the image is built from, from the project's on.
    ``access``: with which the doors are open."""
    name = name_of(needed, target)
    return {
        "Pulumi.yaml": _settings(needed, name, project),
        PROGRAM: _program(needed, target, project, access),
        STACK_FILE: _stack(name, project, access),
        REQUIREMENTS: f"{DISTRIBUTION}[{target}]~={version(DISTRIBUTION)}\n",
        "README.md": _page(needed, target, project, context),
        ".gitignore": f"{VENV}/\n__pycache__/\n.generated.*/\n",
        f"{OWN_IMAGE}/README.md": _IMAGE_PAGE,
        f"{OWN_IMAGE}/{REQUIREMENTS}": _IMAGE_REQUIREMENTS,
    }


def name_of(needed: Requirements, target: str) -> str:
    """Of the Pulumi project. With the target in it: two projects of one name would be one stack, and each would take
    down what the other has made."""
    return f"{needed.app}-{target}"


def _program(needed: Requirements, target: str, project: TargetProject, access: DoorAccess | None) -> str:
    wanted = wanted_values(needed, project)
    arguments = ['plan="generated/plan.json"']
    arguments += [f"{value.key}=config.require({_text(value.key)})" for value in project.values if value.is_argument]
    for argument, is_secret in (("settings", False), ("secrets", True)):
        if rows := [item_of(value) for value in wanted if value.variable and value.is_secret is is_secret]:
            arguments.append("\n        ".join([f"{argument}={{", *(f"{row}," for row in rows)]) + "\n    }")
    names = ["PenstockApp", "PenstockAppArgs"]
    if access is not None:
        arguments += [f"access={_text(access.word)}", project.ingress]
        names = sorted((*names, *project.imported))
    shown = (*project.exports, *((PUBLIC_URL,) if access is not None else ()))
    exports = "".join(f'pulumi.export("{name}", app.{name})\n' for name in shown)
    return _PROGRAM.format(
        name=needed.app,
        app=_text(needed.app),
        title=project.title,
        target=target,
        names=", ".join(names),
        arguments="".join(f"    {argument},\n" for argument in arguments),
        exports=exports,
    )


def item_of(wanted: WantedValue) -> str:
    """As a program gives a variable to the app."""
    how = "require_secret" if wanted.is_secret else "require"
    return f"{_text(wanted.variable)}: config.{how}({_text(wanted.key)})"


def _settings(needed: Requirements, name: str, project: TargetProject) -> str:
    return _SETTINGS.format(name=name, app=needed.app, title=project.title, venv=VENV)


def _stack(name: str, project: TargetProject, access: DoorAccess | None) -> str:
    rows = []
    for value in (*project.values, *(project.ingress_values if access is not None else ())):
        key = f"{name}:{value.key}" if value.is_argument else value.key
        rows.append(f"  # {key}: {value.example}  # {value.text}\n")
    return _STACK.format(stack=STACK, rows="".join(rows))


def _page(needed: Requirements, target: str, project: TargetProject, context: str) -> str:
    after = (*project.after, *(OPENED if is_open(needed) else ()))
    commands = [wanted.command for wanted in wanted_values(needed, project) if wanted.key != IMAGE]
    return _PAGE.format(
        app=needed.app,
        target=target,
        title=project.title,
        before="\n".join(f"{command}  # {text}" for command, text in project.before),
        after="\n".join(f"{command}  # {text}" for command, text in after),
        stack=STACK,
        stack_file=STACK_FILE,
        context=context,
        commands="\n".join(commands),
        tag=needed.app.lower(),
        image=OWN_IMAGE,
    )


def _text(name: str) -> str:
    return json.dumps(name)


_PROGRAM = '''\
"""{name} on {title}. This file is yours: penstock deploy does not write it again."""

import pulumi
from penstock.deploy.{target} import {names}

config = pulumi.Config()
args = PenstockAppArgs(
{arguments})
app = PenstockApp({app}, args)
{exports}'''

_SETTINGS = """\
name: {name}
description: {app}, an app of Penstock, on {title}
runtime:
  name: python
  options:
    toolchain: pip
    virtualenv: {venv}
"""

_STACK = """\
# What the stack {stack} has to be told: here, or with pulumi config set KEY VALUE; secrets with
# pulumi config set --secret KEY.
config:
{rows}"""

_IMAGE_REQUIREMENTS = """\
# What the image needs and no file of the app imports, as pip has it, such as penstock-ml[lightgbm] for models that
# are registered later.
"""

_IMAGE_PAGE = """\
# What else goes into the image

- `*.whl`: what no index has, such as a development version of Penstock. pip takes it from here.
- `files/`: files that the app reads, as they are to lie beside it. What it imports, and its models' files, is there by
  itself.
- `requirements.txt`: what no file of the app imports.
"""

_PAGE = """\
# {app} on {title}

A Pulumi project, written by `penstock deploy`. All of it is yours to change but `generated/`, which is written anew
each time. `penstock deploy APP --target {target} --dry-run` shows what there will be, and who may do what.

In this folder, in this order:

```
pulumi login  # or pulumi login --local: where the state is kept
{before}
pulumi install  # Pulumi's SDKs, into venv/
pulumi stack init {stack}
```

The image; REGISTRY is yours. It has the versions of the environment in which it was written
(`generated/requirements-image.txt`); what else is to be in it goes into [{image}/]({image}/README.md).

```
docker build --file generated/Dockerfile --tag REGISTRY/{tag} {context}
docker push REGISTRY/{tag}
docker inspect --format '{{{{index .RepoDigests 0}}}}' REGISTRY/{tag}  # NAME@sha256:DIGEST
pulumi config set image REGISTRY/{tag}@sha256:DIGEST
```

For the same image each time, name the base image by its digest as well:
`--build-arg BASE=docker.io/library/python:VERSION@sha256:DIGEST --build-arg SOURCE_DATE_EPOCH=0`.

What the stack has to be told, in `{stack_file}`:

```
{commands}
```

Then, and after each change:

```
pulumi preview
pulumi up
```

What came of it:

```
{after}
```

`penstock deploy APP --target {target}` does all of it once the app has changed: it writes `generated/`, looks whether
anything has no value, previews, asks, and applies.
"""
