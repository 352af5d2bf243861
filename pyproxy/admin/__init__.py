"""What operators see and do: the admin, status and metrics ports. Start with server.py; pages are in endpoints.py."""
