"""Fixtures that every test may ask for."""

from __future__ import annotations

from .brokers.fixtures import _three, certificates, hub, kafka, prefix, secured, three

__all__ = ["_three", "certificates", "hub", "kafka", "prefix", "secured", "three"]
