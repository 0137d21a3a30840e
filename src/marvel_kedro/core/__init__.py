"""Errors, option sections, atomic files and progress lines: used by every other package."""
