"""The log file: its tables, what is stored in them, and the one way to write them."""
