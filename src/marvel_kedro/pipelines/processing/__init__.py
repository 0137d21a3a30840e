"""The pipeline `processing`: from the raw file to clean tables."""
