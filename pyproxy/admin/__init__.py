"""Admin, status and metrics ports, on aiohttp. Never on the data path. Start with server.py."""
