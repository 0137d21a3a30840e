"""The table: contracts, cleaning, split, frames and the local engine."""
