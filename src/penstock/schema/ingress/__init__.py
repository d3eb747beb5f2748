"""What the doors refuse, and how they say where it was."""
