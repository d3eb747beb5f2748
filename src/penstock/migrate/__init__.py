"""One log copied into another: topics, events, positions; and the two compared."""
