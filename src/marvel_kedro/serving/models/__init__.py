"""Loaded models: served versions, routing, and updates from the registry."""
