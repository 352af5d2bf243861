"""The commands: one file each, turned into Settings or a report. Start with run.py."""
