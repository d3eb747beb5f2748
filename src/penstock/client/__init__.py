"""The Python client of a running Penstock, over HTTP."""
