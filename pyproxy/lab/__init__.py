"""A whole small mesh on this machine: the bookshop, its sidecars, traffic and a live table. Start with mesh.py."""
