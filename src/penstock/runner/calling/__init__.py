"""How a user's function is called: with what, on which rows, and what its answer means."""
