"""What readers of every backend share: fair turns, even shares, and what they hold."""
