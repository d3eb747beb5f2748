"""What ``penstock.system`` knows, by area: an image folded from commands and events, and snapshots of it."""
