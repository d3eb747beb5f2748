"""Where user code and models run, so that they can be killed."""
