"""Measured figures: the bare loop, the load, and the table."""
