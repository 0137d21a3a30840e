"""The inference table: schema, redaction, the spool of the workers and the Delta writer."""
