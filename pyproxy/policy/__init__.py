"""Decisions: facts in, verdict out. No I/O, no clock and no random source of their own. Start with balancing.py."""
