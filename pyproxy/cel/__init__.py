"""The part of the Common Expression Language that Telemetry documents use. Start with expression.py."""
