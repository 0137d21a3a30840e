"""Loaded models: served versions, and updates from the registry."""
