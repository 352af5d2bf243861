"""Everything that changes while running: the live snapshot, cluster and endpoint state. Start with live.py."""
