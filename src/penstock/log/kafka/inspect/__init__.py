"""The log as an operator sees it."""
