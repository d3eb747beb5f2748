"""From what was declared to a plan: annotations read, columns found, everything that could not run reported."""
