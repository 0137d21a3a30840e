"""Tables: contracts, cleaning, rejected rows, data quality, split, frames and the local engine."""
