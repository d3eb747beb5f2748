"""Inside the embedded log: one SQLite file and the files beside it."""
