"""The light process that starts the others, watches over them and stops them in order."""
