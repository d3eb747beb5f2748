"""Webhooks that are caught: what `penstock dev` sends to itself in the place of their receivers."""
