"""The immutable view that serves traffic, and the pure function that compiles it. Start with model.py."""
