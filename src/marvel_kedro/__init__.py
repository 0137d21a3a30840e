"""Portable MLOps on the Marvel Characters data: Kedro pipelines and MLflow models."""

from marvel_kedro.core import moved

__version__ = "0.1.0"

moved.install()
