"""Writing records: alone, in transactions, or at least once."""
