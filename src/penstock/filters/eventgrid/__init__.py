"""Azure Event Grid's own filters: which events a subscription is given.

From https://learn.microsoft.com/azure/event-grid/event-filtering, whose rules hold here exactly; docs/routing.md tells
what that page leaves open, and what was chosen.
"""

from .filter import AdvancedFilter, Filter

__all__ = ["AdvancedFilter", "Filter"]
