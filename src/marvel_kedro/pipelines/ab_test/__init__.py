"""The `ab_test` pipeline: `nodes.py` is pure functions, `pipeline.py` wires them."""
