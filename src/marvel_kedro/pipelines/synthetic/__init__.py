"""The `synthetic` pipeline: a raw file of made-up rows with the quirks of the real one."""
