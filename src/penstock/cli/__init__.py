"""The command line: it reads arguments, calls the client or the composition root, and prints."""
