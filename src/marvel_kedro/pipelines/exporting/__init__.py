"""Pipeline `exporting`."""
