"""Istio's networking.istio.io messages, one file per kind."""
