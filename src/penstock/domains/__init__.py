"""Domains: which topics each has, as an area of the system."""
