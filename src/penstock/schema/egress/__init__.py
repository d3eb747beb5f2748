"""Events as the bodies and headers of requests that carry them out."""
