"""One package a pipeline: `nodes.py` is pure functions, `pipeline.py` only wires."""
