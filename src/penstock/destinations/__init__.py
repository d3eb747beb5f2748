"""Where results go outside: one folder a kind of destination, and the interface that they share."""
