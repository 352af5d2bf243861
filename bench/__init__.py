"""Measures pyproxy beside a real Envoy: same upstream, same load, same policies, same core. Start with run.py."""
