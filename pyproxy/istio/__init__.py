"""What operators write: Istio's documents, typed and validated. Knows no socket and no policy. Start with loader.py."""
