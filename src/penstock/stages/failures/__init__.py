"""What failed, and what is done about it: the row is poison, or a dependency is sick."""
