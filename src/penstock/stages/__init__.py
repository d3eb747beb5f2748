"""What is done with events: read batches, do one thing, append the results and advance, together."""
