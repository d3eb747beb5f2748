"""What every handle has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from ...errors import NotOffered

if TYPE_CHECKING:
    from ...plan.plan import Verb


class Handle:
    """``VERBS``: what may be done with it; they are in the plan of each function that asks for it."""

    VERBS: ClassVar[tuple[Verb, ...]]

    def __init__(self, access: Any) -> None:
        raise NotImplementedError

    if not TYPE_CHECKING:  # which finds what is not there by itself

        def __getattr__(self, name: str) -> NoReturn:
            raise NotOffered.by(type(self).__name__, name, [n for n in dir(type(self)) if n[0].islower()])
