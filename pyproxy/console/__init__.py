"""The console: what a set of running proxies does, as one live page."""
