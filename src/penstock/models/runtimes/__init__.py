"""One file a model library."""
