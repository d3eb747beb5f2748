"""What is known of the files that were written: whose they are, and which of them somebody has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec

from ...errors import CannotStart

MANIFEST = "manifest.json"
FORMAT = 1
"""Raised when a reader of before would take the manifest for something else."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """``files``: the SHA-256, in hex, of each generated file's bytes by its name."""

    format: int
    app: str
    target: str
    files: Mapping[str, str]
    access: str = ""  # as ``--access`` said it


def manifest_of(app: str, target: str, files: Mapping[str, str], access: str) -> Manifest:
    digests = {name: digest_of(text.encode()) for name, text in sorted(files.items())}
    return Manifest(FORMAT, app, target, digests, access)


def to_text(manifest: Manifest) -> str:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2).decode() + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Raises ``CannotStart`` for one that is damaged or of a later version."""
    file = folder / MANIFEST
    mend = "bring it back from version control, or write the project into another --out and take your own files there"
    try:
        found = msgspec.json.decode(file.read_bytes(), type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        raise CannotStart(f"{file} is damaged: {error}; {mend}") from None
    if found.format != FORMAT:
        raise CannotStart(f"{file} was written by a later version of Penstock: update it here; {mend}")
    return found


def digest_of(data: bytes) -> str:
    return sha256(data).hexdigest()
