"""What a scorer stands on: which version, in which runner, and calls from outside beside the stream."""
