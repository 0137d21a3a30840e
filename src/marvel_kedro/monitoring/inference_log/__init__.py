"""Parsing of the inference table to one row per scored record."""
