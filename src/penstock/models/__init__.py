"""Models: the registry, the artifacts, and one runtime a library."""
