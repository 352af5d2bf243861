"""The snapshot in Envoy's own words, for /config_dump and for `export envoy`. Start with bootstrap.py."""
