"""The words that every package shares: heads, outcomes, errors, clock. Imports nothing of ours. Start with http.py."""
