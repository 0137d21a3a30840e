"""The `reporting` pipeline: `nodes.py` is pure functions, `pipeline.py` wires them."""
