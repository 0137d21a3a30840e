"""Where a server keeps what: folders below `server.folder`."""

METRICS = "metrics"
"""What each process counts."""

SPOOL = "spool"
"""What is not yet in the inference table."""
