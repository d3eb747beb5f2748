"""Small models of three features, fitted once."""

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import onnxmltools
import pytest
from onnxmltools.convert.common.data_types import FloatTensorType
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression

X = np.random.default_rng(7).random((400, 3))
Y = X @ np.array([3.0, -2.0, 1.0]) + (X[:, 0] > 0.5)


@pytest.fixture(scope="session")
def booster() -> lightgbm.Booster:
    options = {"objective": "regression", "verbosity": -1, "num_threads": 1}
    return lightgbm.train(options, lightgbm.Dataset(X, Y), 30)


@pytest.fixture(scope="session")
def graph(booster: lightgbm.Booster) -> onnx.ModelProto:
    model: onnx.ModelProto = onnxmltools.convert_lightgbm(
        booster, initial_types=[("input", FloatTensorType([None, 3]))]
    )
    return model


@pytest.fixture(scope="session")
def linear() -> LinearRegression:
    return LinearRegression().fit(X, Y)


@pytest.fixture(scope="session")
def classifier() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(max_iter=5).fit(X, Y > 1)


@pytest.fixture
def keep(tmp_path: Path) -> Any:
    def write(data: bytes, name: str = "artifact") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write
