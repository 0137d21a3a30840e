"""Errors, option sections, atomic files, locks, progress and retry: used by every package."""
