"""What fitted estimators know of their columns: the values that they were fitted on, and who reads codes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ...errors import ModelRefused
from . import lightgbm, xgboost
from .categories import Categories

INNER = ("best_estimator_", "estimator_", "estimator", "regressor_", "classifier_", "final_estimator_")
DEEPEST = 8
"""Estimators within estimators."""


def seen_values(estimator: Any, names: Sequence[str]) -> dict[str, pa.Array]:
    """For each column that an encoder within was fitted on: the values that it knows."""
    found: dict[str, pa.Array] = {}
    for encoder, columns in _encoders(estimator, list(names), 0):
        for name, values in zip(columns, encoder.categories_, strict=True):
            plain = [v.item() if isinstance(v, np.generic) else v for v in values]
            try:
                found.setdefault(name, pa.array([v for v in plain if v is not None and v == v]))
            except pa.ArrowException:
                continue  # of several types: no column of a topic holds them
    return found


def _encoders(part: Any, names: list[str], depth: int) -> Iterator[tuple[Any, list[str]]]:
    if depth > DEEPEST or isinstance(part, str):
        return
    if len(getattr(part, "categories_", ())) == len(names):
        yield part, names
    for _, inner, columns in getattr(part, "transformers_", ()):
        if (chosen := _chosen(columns, names)) is not None:
            yield from _encoders(inner, chosen, depth + 1)
    for _, step in getattr(part, "steps", ()):
        yield from _encoders(step, names, depth + 1)
        if hasattr(step, "transform") and not hasattr(step, "statistics_"):
            break  # after it the columns are others; an imputer only fills them
    for attribute in INNER:
        if (inner := getattr(part, attribute, None)) is not None:
            yield from _encoders(inner, names, depth + 1)


def _chosen(columns: Any, names: list[str]) -> list[str] | None:
    """The names of a ColumnTransformer's columns; None when they are given in a way not read here."""
    if isinstance(columns, str):
        columns = [columns]
    try:
        listed = list(np.arange(len(names))[columns]) if isinstance(columns, slice) else list(columns)
    except TypeError:
        return None
    if all(isinstance(column, bool | np.bool_) for column in listed):
        listed = [place for place, taken in enumerate(listed) if taken]
    if all(isinstance(column, int | np.integer) and column < len(names) for column in listed):
        return [names[column] for column in listed]
    return [str(column) for column in listed] if all(str(column) in names for column in listed) else None


def boosted(estimator: Any) -> Categories | None:
    """The categories of a LightGBM or XGBoost estimator, which is asked by a matrix of codes; None for any other.

    Raises ``ModelRefused`` for one that holds such an estimator with categories somewhere within: what reaches that is
    its own affair, and codes of other values would be scored without a word.
    """
    if (own := _categories(estimator)) is not None:
        estimator.set_params(n_jobs=1)
        return own
    for inner in _within(estimator, 0):
        if (hidden := _categories(inner)) is not None and hidden.values:
            raise ModelRefused(
                f"the {type(estimator).__name__} holds a {type(inner).__name__} fitted on a frame with categories, and "
                "what it is given here is no such frame; encode them in the pipeline, or register a Python file"
            )
    return None


def _categories(estimator: Any) -> Categories | None:
    library = type(estimator).__module__.partition(".")[0]
    if library == "lightgbm" and hasattr(estimator, "booster_"):
        return lightgbm.categories_of(estimator.booster_)
    if library == "xgboost" and hasattr(estimator, "get_booster"):
        return xgboost.categories_of(estimator.get_booster(), told=not hasattr(estimator, "feature_names_in_"))
    return None


def _within(part: Any, depth: int) -> Iterator[Any]:
    """Everything that has parameters and is held by ``part``, at any depth."""
    if depth > DEEPEST:
        return
    if isinstance(part, dict):
        part = list(part.values())
    if isinstance(part, list | tuple):
        held = [item for item in part if not isinstance(item, str | int | float)]
    elif hasattr(part, "get_params"):
        if depth:
            yield part
        held = list(vars(part).values())
    else:
        return
    for item in held:
        yield from _within(item, depth + 1)
