"""One file a door: it translates a request into what the house understands, and the answer back; it decides nothing."""
