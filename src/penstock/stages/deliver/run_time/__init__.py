"""Subscriptions that are put while the app runs: what is asked for, and which there are."""
