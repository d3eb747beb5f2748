"""Types and codecs: Python event types to Arrow schemas, bytes to columns and columns to JSON or objects."""
