"""What holds for all tests."""

from hypothesis import settings

from .brokers.fixtures import _three, certificates, hub, kafka, prefix, secured, three

__all__ = ["_three", "certificates", "hub", "kafka", "prefix", "secured", "three"]

settings.register_profile("shared machine", deadline=None)  # a test never asserts a time
settings.load_profile("shared machine")
