"""How the image is built: a Dockerfile in two stages, and the versions of what goes into it."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from pathlib import Path, PurePosixPath

from ...errors import CannotStart
from ..containers import USER
from .contents import ImageContents
from .directory import GENERATED
from .own_files import OWN_IMAGE

PINNED = "requirements-image.txt"
LEGAL = re.compile(r"[\w./ @+=,-]+")
"""Of a path in a Dockerfile; all others mean something there."""


def context_of(directory: Path, folder: Path) -> Path:
    """The folder that the image is built from: it holds the project's directory and that of the app."""
    return Path(os.path.commonpath([directory.resolve(), folder.resolve()]))


def image_files(contents: ImageContents, directory: Path, folder: Path) -> dict[str, str]:
    """The generated files, by name. Raises ``CannotStart`` for a file whose name a Dockerfile cannot hold."""
    context = context_of(directory, folder)
    project, app = (PurePosixPath(path.resolve().relative_to(context)) for path in (directory, folder))
    copied = [project / OWN_IMAGE, project / GENERATED / PINNED, *(app / name for name in contents.files)]
    for path in map(str, copied):
        if not LEGAL.fullmatch(path):
            raise CannotStart(
                f"{context / path} cannot go into an image: a name there has letters, digits, blanks and any of ._@+=,-"
            )
    places = defaultdict[str, list[str]](list)
    for name in contents.files:
        places[str(PurePosixPath("/app", name).parent)].append(str(app / name))
    copies = [
        f"COPY {json.dumps([*files, f'{place}/'], ensure_ascii=False)}" for place, files in sorted(places.items())
    ]
    dockerfile = _DOCKERFILE.format(
        python=contents.python,
        context=os.path.relpath(context, directory.resolve()),
        image=json.dumps([f"{project / OWN_IMAGE}/", "/image/"], ensure_ascii=False),
        pinned=json.dumps([str(project / GENERATED / PINNED), "/image/"], ensure_ascii=False),
        copies="\n".join(copies),
        user=USER,
    )
    ignored = "".join(f"{line}\n" for line in ("*", *(f"!{path}" for path in copied)))
    pinned = "".join(f"{line}\n" for line in contents.pins.lines)
    return {"Dockerfile": dockerfile, "Dockerfile.dockerignore": ignored, PINNED: pinned}


_DOCKERFILE = """\
# Written by penstock deploy. In the project's folder: docker build --file generated/Dockerfile --tag TAG {context}
# For the same image each time: --build-arg BASE=…@sha256:DIGEST --build-arg SOURCE_DATE_EPOCH=0
ARG BASE=docker.io/library/python:{python}-slim-bookworm

FROM ${{BASE}} AS build
ARG SOURCE_DATE_EPOCH=0
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
RUN python -m venv --without-pip /opt/penstock
COPY {image}
COPY {pinned}
RUN python -m pip --python /opt/penstock/bin/python install --no-compile --find-links /image \\
    -r /image/requirements-image.txt -r /image/requirements.txt
# Compiled here, for nothing is written where it runs; what does not compile is nothing that anybody imports.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/penstock/lib || true
{copies}
RUN mkdir -p /image/files /data && cp -R /image/files/. /app/ && chmod -R a+rX /app
RUN python -m compileall -q --invalidation-mode unchecked-hash /app

FROM ${{BASE}}
COPY --from=build /opt/penstock /opt/penstock
COPY --from=build /app /app
COPY --from=build --chown={user}:{user} /data /data
ENV PATH=/opt/penstock/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp PENSTOCK_DATA=/data \\
    ORT_DISABLE_TELEMETRY=1
WORKDIR /app
USER {user}:{user}
ENTRYPOINT ["penstock"]
"""
