"""Catalog types that Kedro, kedro-datasets and kedro-mlflow lack."""
