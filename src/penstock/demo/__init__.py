"""Real flights in, predictions out, a model swapped half-way."""
