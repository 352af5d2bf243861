"""Several processes as one proxy: who starts them, what they share, how their numbers add up. See supervisor.py."""
