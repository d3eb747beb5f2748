"""The flights, and whoever rebooks passengers is told of those that will be over an hour late.

OPS_URL=https://… OPS_KEY=whsec_… penstock run ops.py
"""

import polars as pl
from app import app, delays

import penstock as ps

app.subscribe(
    delays,
    ps.env("OPS_URL"),
    secret=ps.secret("OPS_KEY"),
    where=pl.col("arr_delay") > 60,
    retry=ps.Retry(attempts=3, ttl="24h"),
)
