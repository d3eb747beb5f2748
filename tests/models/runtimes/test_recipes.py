"""A file of another kind is told by its content, and the refusal says which recipe it takes."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import lightgbm
import numpy as np
import pytest
import xgboost
from tests.models.runtimes.conftest import X, Y

from penstock.errors import ModelRefused
from penstock.models.runtimes import choose, recipes
from penstock.testing.runtime_contract import OFFER

Keep = Callable[..., Path]


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")
    return buffer.getvalue()


def saved(write: Callable[[io.BytesIO], None]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def safetensors() -> bytes:
    header = json.dumps(
        {"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, separators=(",", ":")
    ).encode()
    return struct.pack("<Q", len(header)) + header + b"\0\0\0\0"


def lightgbm_dump() -> bytes:
    booster = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(X, Y), 2)
    return json.dumps(booster.dump_model()).encode()


def xgboost_dump() -> bytes:
    booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 2)
    return ("[" + ",".join(booster.get_dump(dump_format="json")) + "]").encode()


FOREIGN: dict[str, tuple[bytes, str, str]] = {
    "torch.save": (zipped("archive/data.pkl", "archive/version", "archive/data/0"), "a PyTorch file", "pytorch"),
    "torchscript": (zipped("m/code/__torch__.py", "m/data.pkl", "m/constants.pkl"), "a PyTorch file", "pytorch"),
    "torch.export": (zipped("m/archive_format", "m/models/model.json"), "a PyTorch file", "pytorch"),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "a Keras model", "onnx"),
    "keras h5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "a Keras model", "onnx"),
    "saved model": (b"\x08\x01\x12\x90\x01serve", "a TensorFlow model", "onnx"),
    "saved model, zipped": (zipped("m/saved_model.pb", "m/variables/variables.index"), "a TensorFlow model", "onnx"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(50), "a TensorFlow model", "onnx"),
    "catboost": (b"CBM1" + bytes(100), "a CatBoost model", "a-python-file"),
    "catboost json": (b'{"features_info":{},"model_info":{},"oblivious_trees":[]}', "a CatBoost", "a-python-file"),
    "safetensors": (safetensors(), "a file of weights without a model", "onnx"),
    "gguf": (b"GGUF\x03\0\0\0", "a file of weights without a model", "onnx"),
    "npy": (saved(lambda file: np.save(file, X)), "a file of weights without a model", "onnx"),
    "npz": (saved(lambda file: np.savez(file, x=X)), "a file of weights without a model", "onnx"),
    "pmml": (b'<?xml version="1.0"?>\n<PMML version="4.4" xmlns="x">', "a PMML file", "a-python-file"),
    "openvino": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "an OpenVINO model", "onnx"),
    "h2o": (zipped("experimental/modelDetails.json", "model.ini"), "an H2O model", "a-python-file"),
    "mlflow": (zipped("m/MLmodel", "m/model.onnx"), "an MLflow model", "onnx"),
    "old xgboost": (b"binf" + bytes(100), "a binary file of an old XGBoost", "xgboost"),
    "lightgbm json": (lightgbm_dump(), "a JSON dump of LightGBM", "lightgbm"),
    "xgboost dump": (xgboost_dump(), "a dump of XGBoost", "xgboost"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "a pointer of Git LFS", "onnx"),
    "html": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "a web page, not a model", "onnx"),
    "notebook": (b'{"cells": [], "nbformat": 4}', "a notebook", "a-python-file"),
}


@pytest.mark.parametrize("ending", [".onnx", ".json", ".bin"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_kind_is_told_by_its_content(keep: Keep, kind: str, ending: str) -> None:
    data, what, section = FOREIGN[kind]
    with pytest.raises(ModelRefused) as said:
        choose.inspect(keep(data), name="model" + ending, inputs=OFFER, outputs=["y"], trusted=False)
    assert f"it is {what}" in str(said.value)
    assert str(said.value).endswith(f"; see {recipes.page(section)}")


def test_a_pickle_says_how_it_is_trusted(keep: Keep) -> None:
    with pytest.raises(ModelRefused, match=f"trust='sha256:….*see {recipes.page('pickle-and-joblib')}"):
        choose.inspect(keep(b"\x80\x04N."), name="m.joblib", inputs=OFFER, outputs=["y"], trusted=False)


def test_a_file_of_no_kind_points_to_the_page(keep: Keep) -> None:
    with pytest.raises(ModelRefused, match=rf"begins with b'.*'; {recipes.PAGE} has a recipe"):
        choose.inspect(keep(b"\1\2\3\4" * 9), name="m", inputs=OFFER, outputs=["y"], trusted=False)


def test_a_directory_is_no_version(tmp_path: Path) -> None:
    with pytest.raises(
        ModelRefused, match=r"saved is a directory; a version is one file: see .*#files-that-are-refused"
    ):
        choose.inspect(tmp_path, name="saved", inputs=OFFER, outputs=["y"], trusted=False)
    with pytest.raises(ModelRefused, match=r"gone cannot be read: No such file"):
        choose.inspect(tmp_path / "gone", name="gone", inputs=OFFER, outputs=["y"], trusted=False)


@pytest.mark.parametrize("cut", [1, 10, 50])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_cut_one_is_refused_too(keep: Keep, kind: str, cut: int) -> None:
    with pytest.raises(ModelRefused):
        choose.inspect(keep(FOREIGN[kind][0][:cut]), name="m", inputs=OFFER, outputs=["y"], trusted=False)
