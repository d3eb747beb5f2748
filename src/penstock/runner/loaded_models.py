"""Models in memory: new versions are loaded beside the old ones, which stay for a while, as a batch may want them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import pyarrow as pa

from ..errors import NotFound
from ..models.interface import RuntimeModel
from .interface import Artifact

KEPT = 3  # versions of one model


def from_artifact(artifact: Artifact) -> RuntimeModel:
    from ..models.runtimes.choose import load_version

    return load_version(artifact.version, artifact.path)


class Scoring:
    """Every version that was loaded lately, by model. The one used longest ago goes when a fourth comes.

    ``make`` loads a model whose answers are checked.
    """

    def __init__(self, make: Callable[[Artifact], RuntimeModel] = from_artifact) -> None:
        self._make = make
        self._loaded: dict[str, OrderedDict[int, RuntimeModel]] = {}

    def load(self, artifact: Artifact) -> None:
        """Harmless when it is loaded. A version is ready before another makes room for it.

        Raises ``ArtifactDamaged``, ``ModelRefused``, or what the library raises.
        """
        name, version = artifact.version.name, artifact.version.version
        versions = self._loaded.setdefault(name, OrderedDict())
        if version in versions:
            return
        versions[version] = self._make(artifact)
        while len(versions) > KEPT:
            versions.popitem(last=False)

    def held(self) -> list[tuple[str, int]]:
        return [(name, version) for name, versions in self._loaded.items() for version in versions]

    def predict(self, name: str, version: int, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Columns that the model does not read are ignored.

        Raises ``NotFound`` for a version that is not loaded, ``ModelRefused`` for rows without its inputs,
        ``InputInvalid``, ``PredictionInvalid``, or what the model raises.
        """
        versions = self._loaded.get(name, OrderedDict())
        if version not in versions:
            raise NotFound(f"model {name}/{version} is not loaded")
        versions.move_to_end(version)
        return versions[version].predict(rows)
