"""Metrics tables, computed from counts."""
