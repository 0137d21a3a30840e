"""Marvel's characters: the synthetic generator."""
