"""The `reporting` pipeline: a page and plots from the tables of monitoring."""
