"""Windows, watermarks and counts: one pass over the records."""
