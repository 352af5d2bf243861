"""Istio's own rules for one document alone, one file per kind; the shared ones are named after what they look at."""
