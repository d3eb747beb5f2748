"""The language of ``where``, a subset of SQL: docs/where.md has its grammar."""
