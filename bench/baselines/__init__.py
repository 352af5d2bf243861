"""Proxies to compare with: a naive one on aiohttp, and two floors that show what Python on uvloop can do at most."""
