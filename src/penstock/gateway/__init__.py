"""The doors: one file a protocol. They translate and decide nothing."""
