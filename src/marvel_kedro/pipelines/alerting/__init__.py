"""The `alerting` pipeline: `nodes.py` is pure functions, `pipeline.py` wires them."""
