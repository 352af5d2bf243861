"""From clients to us: listeners and server protocols. Start with listener.py."""
