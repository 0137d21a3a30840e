"""Monitoring as arithmetic on counts: neither Kedro nor Spark, and no file."""
