"""How an endpoint is asked whether it wants events, and what its answer means: pure functions."""
