"""The snapshot in Envoy's own words: resources as /config_dump shows them. Start with clusters.py."""
