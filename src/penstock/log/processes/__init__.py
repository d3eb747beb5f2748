"""What processes on one data directory know of each other: whose turn it is to write, who lives, who should wake."""
