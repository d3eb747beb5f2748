"""What a process says of itself: structured logs (``logs``), and how a room declares what it measures (``metrics``)."""

from .logs import LOG_ENV, log_to, log_to_stderr, logger

__all__ = ["LOG_ENV", "log_to", "log_to_stderr", "logger"]
