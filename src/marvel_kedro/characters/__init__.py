"""Marvel's characters: the synthetic generator. No other package knows about Marvel."""
