"""The catalog types that the libraries do not have."""
