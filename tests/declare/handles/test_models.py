from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

import penstock as ps
from penstock.declare.handles.models import Predictor
from penstock.errors import DeclarationError, NotOffered


class Recorded:
    """Access to models of which every model doubles its rows."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    def load(self, ref: str) -> Predictor:
        self.asked.append(ref)
        return lambda rows: rows * 2

    def register(
        self, name: str, artifact: Path | object, *, dataset_id: str | None, metrics: Mapping[str, float]
    ) -> int:
        self.asked.append((name, artifact, dataset_id, metrics))
        return 7

    def set_alias(self, name: str, alias: str, version: int, *, expected: int | None) -> None:
        self.asked.append((name, alias, version, expected))


def test_models_ask_the_desk() -> None:
    access = Recorded()
    models = ps.Models(access)
    assert models.load("delay@champion").predict(pl.DataFrame({"a": [1]})).to_dicts() == [{"a": 2}]
    assert models.register("delay", Path("x.onnx"), metrics={"mae": 1.0}) == 7
    models.promote("delay", 7)
    models.set_alias("delay", "shadow", 6, expected=5)
    assert access.asked == [
        "delay@champion",
        ("delay", Path("x.onnx"), None, {"mae": 1.0}),
        ("delay", "champion", 7, None),
        ("delay", "shadow", 6, 5),
    ]


@pytest.mark.parametrize("ref", ["delay", "delay/", "delay/0", "delay/x", "@champion", "a@b@c", ""])
def test_a_reference_names_an_alias_or_a_version(ref: str) -> None:
    with pytest.raises(DeclarationError, match="NAME@ALIAS"):
        ps.Models(Recorded()).load(ref)


def test_what_it_does_not_do_is_refused_with_what_it_does() -> None:
    models = ps.Models(Recorded())
    with pytest.raises(NotOffered, match=r"ps\.Models has no 'delete' .* it has load, promote, register, set_alias"):
        models.delete("delay")  # type: ignore[attr-defined]
    assert not hasattr(models, "rows"), "an AttributeError too, as Python asks for what may be absent"
