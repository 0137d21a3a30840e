"""The model: features, fitting, scoring, evaluation. Neither Kedro nor Spark."""
