"""Code that travels with a model: features, predictor and the MLflow model class."""
