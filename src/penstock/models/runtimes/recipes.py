"""Files of other kinds, told by their content, and the recipe for each: what a refusal says beside its reason."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAGE = "https://github.com/penstock/penstock/blob/main/docs/your-model-here.md"

ONNX, PYTORCH, PICKLE, LIGHTGBM, XGBOOST, PYTHON = (
    "onnx",
    "pytorch",
    "pickle-and-joblib",
    "lightgbm",
    "xgboost",
    "a-python-file",
)
REFUSED = "files-that-are-refused"


@dataclass(frozen=True, slots=True)
class Recipe:
    """``what`` a file is, what to do instead of registering it, and the section of the page that shows how."""

    what: str
    mend: str
    section: str

    def __str__(self) -> str:
        return f"it is {self.what}: {self.mend}; see {page(self.section)}"


def page(section: str) -> str:
    return f"{PAGE}#{section}"


TORCH = Recipe("a PyTorch file", "export the model to ONNX", PYTORCH)
KERAS = Recipe("a Keras model", "make ONNX of it with tf2onnx, or load it in a Python file", ONNX)
TENSORFLOW = Recipe("a TensorFlow model", "make ONNX of it with tf2onnx, or load it in a Python file", ONNX)
CATBOOST = Recipe("a CatBoost model", "save it with format='onnx', or load it in a Python file", PYTHON)
WEIGHTS = Recipe("a file of weights without a model", "export the model to ONNX, or load them in a Python file", ONNX)
OLD_XGBOOST = Recipe("a binary file of an old XGBoost", "save it as .ubj with the XGBoost that made it", XGBOOST)
LIGHTGBM_DUMP = Recipe("a JSON dump of LightGBM", "write its text with save_model", LIGHTGBM)
BY_PYTHON = "load it in a Python file with the library that reads it"

BY_HEAD: list[tuple[re.Pattern[bytes], Recipe]] = [
    (re.compile(head, re.DOTALL | re.IGNORECASE), recipe)
    for head, recipe in (
        (rb"version https://git-lfs", Recipe("a pointer of Git LFS, not the file", "run: git lfs pull", ONNX)),
        (rb"\x89HDF\r\n", KERAS),
        (rb"CBM1", CATBOOST),
        (rb".{8}\{\"__metadata__\"|.{8}\{\"[^\"]+\":\{\"dtype\"", WEIGHTS),
        (rb"GGUF|\x93NUMPY", WEIGHTS),
        (rb".{4}TFL3", TENSORFLOW),
        (rb"\x08\x01\x12", TENSORFLOW),
        (rb"binf|bs64", OLD_XGBOOST),
        (rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?<PMML", Recipe("a PMML file", BY_PYTHON, PYTHON)),
        (rb"\s*(<\?xml[^>]*>\s*)?<net\b", Recipe("an OpenVINO model", "register the ONNX that it was made of", ONNX)),
        (rb"\s*<(!doctype html|html)", Recipe("a web page, not a model", "look at what was downloaded", ONNX)),
        (rb"\s*\{.*\"(tree_info|pandas_categorical)\"", LIGHTGBM_DUMP),
        (rb"\s*\{.*\"(oblivious_trees|model_guid)\"", CATBOOST),
        (rb"\s*[\[{].*\"(nodeid|split_condition)\"", Recipe("a dump of XGBoost", "write it with save_model", XGBOOST)),
        (rb"\s*\{.*\"nbformat\"|\s*\{\s*\"cells\"", Recipe("a notebook", "save the model that it makes", PYTHON)),
    )
]

Names = Sequence[str]
TORCH_MEMBERS = ("data.pkl", "archive_format", "serialized_exported_program.json")
BY_MEMBERS: list[tuple[Callable[[Names], bool], Recipe]] = [
    (lambda names: "model.weights.h5" in names or "keras_metadata.pb" in names, KERAS),
    (lambda names: any(n.endswith("saved_model.pb") for n in names), TENSORFLOW),
    (lambda names: any(n.endswith(TORCH_MEMBERS) for n in names), TORCH),
    (lambda names: any(n.endswith(".npy") for n in names), WEIGHTS),
    (lambda names: any(n.endswith("model.ini") for n in names), Recipe("an H2O model", BY_PYTHON, PYTHON)),
    (
        lambda names: any(n.endswith("MLmodel") for n in names),
        Recipe("an MLflow model", "register the model's file in it", ONNX),
    ),
]


def recipe_for(head: bytes) -> Recipe | None:
    """By the first bytes of a file that no library here claims."""
    return next((recipe for pattern, recipe in BY_HEAD if pattern.match(head)), None)


def recipe_for_zip(data: bytes) -> Recipe | None:
    """By what is packed into an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return None
    return next((recipe for holds, recipe in BY_MEMBERS if holds(names)), None)
