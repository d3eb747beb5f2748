"""Bearer tokens of an OpenID Connect issuer: who shows one, and what the roles in it give. Knows no HTTP server."""
