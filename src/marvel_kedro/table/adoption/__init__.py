"""Adopt a file: read a sample, find out what its columns are, and describe it as a table."""
