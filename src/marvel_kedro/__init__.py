"""Portable MLOps on the Marvel Characters data: Kedro pipelines, MLflow models, any engine."""

__version__ = "0.1.0"
