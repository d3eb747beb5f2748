"""The models' area as bytes, compact: versions of one model mostly have one signature, which is told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from sys import intern
from typing import Any

import msgspec

from ..errors import ModelRefused
from . import signature as signatures
from .interface import Alias, ModelVersion, Signature
from .messages import Activated, DeployedVersion, Register

Given = Mapping[str, tuple[bytes, ...]]
"""Answers by the command's id, as ``AnswerCache`` keeps them, in the order in which they are forgotten."""


class SavedVersion(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Its model and its number are where it stands."""

    digest: str
    runtime: str
    signature: int  # its place among the image's
    created: int
    trusted: bool
    dataset_id: str | None
    metrics: dict[str, float]


class SavedModels(msgspec.Struct):
    signatures: list[dict[str, Any]]
    versions: dict[str, msgspec.Raw]  # of each model a list of ``SavedVersion``: one at a time is unfolded
    aliases: list[Alias]
    activations: list[Activated]
    answers: dict[str, tuple[bytes, ...]]
    asked: list[Register]
    refused: dict[str, str]
    deployed: list[DeployedVersion] = []  # images of before there were any have none


class ReadModels(msgspec.Struct):
    """What was saved, as it was."""

    versions: dict[str, tuple[ModelVersion, ...]]
    aliases: Sequence[Alias]
    activations: Sequence[Activated]
    answers: dict[str, tuple[bytes, ...]]
    asked: dict[str, Register]
    refused: dict[str, str]
    deployed: Sequence[DeployedVersion]


_UNFOLD = msgspec.msgpack.Decoder(list[SavedVersion]).decode


def written_image(
    versions: Mapping[str, Sequence[ModelVersion]],
    aliases: Iterable[Alias],
    activations: Iterable[Activated],
    answers: Given,
    asked: Mapping[str, Register],
    refused: dict[str, str],
    deployed: Iterable[DeployedVersion],
) -> bytes:
    known: dict[int, int] = {}  # by identity: ``signature.shared`` makes one object of equal ones
    told: list[dict[str, Any]] = []

    def place(version: ModelVersion) -> int:
        if (found := known.get(id(version.signature))) is None:
            found = known[id(version.signature)] = len(told)
            told.append(signatures.to_json(version.signature))
        return found

    saved = {
        name: msgspec.Raw(msgspec.msgpack.encode([_saved(version, place(version)) for version in each]))
        for name, each in versions.items()
    }
    return msgspec.msgpack.encode(
        SavedModels(
            told,
            saved,
            list(aliases),
            list(activations),
            dict(answers),
            list(asked.values()),
            refused,
            list(deployed),
        )
    )


def read_image(saved: bytes) -> ReadModels:
    """Raises ``ValueError`` for what ``written_image`` did not make."""
    try:
        found = msgspec.msgpack.decode(saved, type=SavedModels)
        told = [signatures.shared(signature) for signature in found.signatures]
        versions = {
            name: tuple(_read(name, number, version, told) for number, version in enumerate(_UNFOLD(each), 1))
            for name, each in found.versions.items()
        }
    except (ModelRefused, IndexError) as error:
        raise ValueError(f"no image of the models: {error}") from error
    asked = {command.id: command for command in found.asked}
    return ReadModels(versions, found.aliases, found.activations, found.answers, asked, found.refused, found.deployed)


def _read(name: str, number: int, saved: SavedVersion, told: Sequence[Signature]) -> ModelVersion:
    return ModelVersion(
        name,
        number,
        saved.digest,
        intern(saved.runtime),
        told[saved.signature],
        saved.created,
        saved.trusted,
        saved.dataset_id,
        saved.metrics,
    )


def _saved(version: ModelVersion, signature: int) -> SavedVersion:
    return SavedVersion(
        version.digest,
        version.runtime,
        signature,
        version.created,
        version.trusted,
        version.dataset_id,
        version.metrics,
    )
