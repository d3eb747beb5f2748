"""TLS at the doors: the certificate, its renewal, and connections until they are agreed upon."""
