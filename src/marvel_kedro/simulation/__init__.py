"""Simulated traffic for any synthetic world, and the demo that uses it."""
