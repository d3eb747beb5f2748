"""Values of libraries' own classes as the plain ones that they stand for: what numpy and pandas hand out.

numpy's float64 *is* a float and pandas' Timestamp *is* a datetime, so a type checker lets a function answer with them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np

# Not by the class itself, which may ask a method that the subclass has overridden.
_PLAIN: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    (bytes, lambda value: b"".join((b"", value))),
)


def as_builtin(value: Any) -> Any:
    """For msgspec's ``enc_hook``, which is given what it does not know: subclasses of plain types, numpy's scalars and
    arrays, pandas' scalars. What stands for a missing value (NaT, NA) is None.

    Raises ``TypeError`` for anything else.
    """
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[us]").item()  # finer ones would be a number
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    if isinstance(value, datetime):
        return datetime(*value.timetuple()[:6], value.microsecond, value.tzinfo, fold=value.fold)
    if isinstance(value, date):
        return date(value.year, value.month, value.day)
    for plain, made in _PLAIN:
        if isinstance(value, plain):
            return made(value)
    raise TypeError(f"a value of type {type(value).__name__} is unsupported")
