"""Handshakes: asking an endpoint whether it wants events, before any goes there."""
