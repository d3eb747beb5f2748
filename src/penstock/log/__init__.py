"""Durable topics: the interface, and one backend a file or folder."""
