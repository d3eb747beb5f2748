"""The payments, and a case is opened elsewhere for each that looks like fraud.

RISKS_URL=http://… CASE_URL=https://… CASE_KEY=whsec_… penstock run cases.py
"""

import polars as pl
from app import app, scores

import penstock as ps

app.subscribe(
    scores,
    ps.env("CASE_URL"),
    where=pl.col("score") > 0.9,
    secret=ps.secret("CASE_KEY"),
    retry=ps.Retry(attempts=10, ttl="24h"),
)
