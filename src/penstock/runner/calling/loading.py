"""The user's file, imported in the runner."""

from __future__ import annotations

import os

from ...declare.load import load
from ...plan.codec import plan_from_bytes
from ..loaded_models import Scoring
from .functions import Functions


def load_functions(sent: bytes, scoring: Scoring) -> Functions:
    """Of a plan as ``plan.codec`` writes it. Raises ``DeclarationError`` when the file cannot be imported."""
    plan = plan_from_bytes(sent)
    return Functions(load(plan.target).app, plan, scoring, ready={}, environ=os.environ)
