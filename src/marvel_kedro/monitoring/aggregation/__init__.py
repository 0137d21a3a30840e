"""Counting of records by window and segment, in one pass of the engine."""
