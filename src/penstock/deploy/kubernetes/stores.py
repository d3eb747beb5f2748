"""Where models' files lie: a bucket that pods reach by HTTPS, or a volume that all of them mount."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ...errors import DeclarationError

if TYPE_CHECKING:
    import pulumi

HTTPS = 443
BUCKETS = ("s3", "gs", "az")
MOUNT = PurePosixPath("/artifacts")
"""Where a volume is mounted in a pod."""


@dataclass(frozen=True, slots=True)
class ArtifactStore:
    """``url``: for ``--artifacts``; ``claim``: the PersistentVolumeClaim that is mounted, empty for a bucket."""

    url: pulumi.Input[str]
    claim: str = ""

    @property
    def ports(self) -> tuple[int, ...]:
        return () if self.claim else (HTTPS,)


def store_of(url: pulumi.Input[str], claim: str = "") -> ArtifactStore:
    """Raises ``DeclarationError`` for a URL that pods on several machines do not share; where it is another resource's
    output, once it is known."""
    if isinstance(url, str):
        return ArtifactStore(_checked(url, claim), claim)
    return ArtifactStore(url.apply(lambda known: _checked(known, claim)), claim)


def _checked(url: str, claim: str) -> str:
    scheme, found, place = url.partition("://")
    if "@" in url:
        raise DeclarationError("artifacts: a URL is seen by everybody; credentials are given as artifact_credentials=")
    if scheme == "file" and found:
        path = PurePosixPath(place)
        if not claim or path == MOUNT or not path.is_relative_to(MOUNT) or ".." in path.parts:
            raise DeclarationError(
                f"artifacts: '{url}' is a folder of one pod: name a volume that all can write to as artifacts_claim=, "
                f"and write file://{MOUNT}/FOLDER, a folder that is there on it"
            )
    elif scheme not in BUCKETS or not place.partition("/")[0]:
        raise DeclarationError(f"artifacts: '{url}' is none of {', '.join(f'{b}://' for b in BUCKETS)} and file://")
    elif claim:
        raise DeclarationError(f"artifacts_claim is of no use with '{url}': it goes with file://{MOUNT}/FOLDER")
    return url
