"""Identities on the wire: certificates, the authority that makes them, TLS contexts and TLS channels."""
