"""From us to the services: name resolution, pools, client protocols. Start with pool.py."""
