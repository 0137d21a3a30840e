"""Parameters, configuration, run checks, summary and error messages."""
