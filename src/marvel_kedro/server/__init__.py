"""The endpoint: the model over HTTP, with neither Kedro nor Spark."""
