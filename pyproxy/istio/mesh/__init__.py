"""MeshConfig: what holds for the whole mesh. Start with config.py."""
