"""Reading records: who owns what, what has arrived, and what was stored twice."""
