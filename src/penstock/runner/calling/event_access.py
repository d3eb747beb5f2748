"""What stands behind all handles while one event, or one batch, is handled; each handle is given its part of it."""

from __future__ import annotations

from typing import Literal

from ...declare.run_time import checked_condition
from ...declare.values import refused
from ...destinations.webhook.signatures import check_secret
from ...errors import DeclarationError
from ...plan.plan import Plan
from ...plan.run_time import RunTimeSubscription
from ..interface import ChangeSubscription, Services
from ..loaded_models import Scoring
from .model_handle import ModelHandle


class EventAccess(ModelHandle):
    """That of ``ps.Models``, and of ``ps.Subscriptions``: what they ask for goes with the commit, in its order."""

    def __init__(self, services: Services | None, scoring: Scoring, plan: Plan) -> None:
        super().__init__(services, scoring)
        self._plan = plan

    def put_subscription(self, subscription: RunTimeSubscription) -> None:
        """Raises ``DeclarationError``, ``NotFound`` and ``FilterInvalid``."""
        for secret in subscription.private.secrets:
            if isinstance(secret, str):
                try:
                    check_secret(secret)
                except DeclarationError as error:
                    raise refused(str(error)) from None
        put = checked_condition(subscription, self._plan)
        self.commands.append(ChangeSubscription(put.name, "put", put))

    def change_subscription(self, name: str, change: Literal["delete", "pause", "resume"]) -> None:
        self.commands.append(ChangeSubscription(name, change))
