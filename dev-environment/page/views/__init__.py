"""The views, each in a file of its own; what they have in common is in frame.py, rows.py and charts.py."""
