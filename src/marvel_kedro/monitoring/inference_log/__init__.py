"""From the inference table to one row a scored record."""
