"""Which cluster, how to reach it, and what it takes."""
