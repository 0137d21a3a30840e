"""The pipeline `serving`: predictions for a table, and the records of the lookup."""
