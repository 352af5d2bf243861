"""What we tell about an exchange: metrics, access log, trace headers. Start with metrics.py."""
