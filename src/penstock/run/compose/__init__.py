"""What the processes are made of: backends, topics, stages, and what is measured of them."""
