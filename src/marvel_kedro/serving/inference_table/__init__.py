"""The inference table: schema, redaction, spool and the Delta writer."""
