"""From the inference table to the tables of metrics."""
