"""The endpoint: the model over HTTP, without Kedro and Spark."""
