"""Pipeline `monitoring`."""
