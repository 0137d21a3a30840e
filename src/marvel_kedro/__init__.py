"""Portable MLOps on the Marvel Characters data: Kedro pipelines and MLflow models."""

__version__ = "0.1.0"
