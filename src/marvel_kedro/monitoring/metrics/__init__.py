"""Metrics of monitoring, computed from counts."""
