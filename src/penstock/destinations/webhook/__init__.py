"""Webhooks: parcels as HTTP requests, each subscription's in a lane of its own."""
