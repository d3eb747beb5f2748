"""From the doors to the log: group commit."""
