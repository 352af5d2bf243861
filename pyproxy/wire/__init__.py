"""Bytes without sockets: heads and framing to bytes, Envoy format strings to getters. Start with http1.py."""
