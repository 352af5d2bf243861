"""Placeholder until the tunnel is served."""
