"""Inside the log in memory."""
