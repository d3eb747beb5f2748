from tests.certificates import issuer, pair, till

__all__ = ["issuer", "pair", "till"]
