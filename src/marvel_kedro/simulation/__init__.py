"""Synthetic traffic and the demo."""
