"""The pipeline `synthetic`: a raw file of synthetic rows with the quirks of the real one."""
