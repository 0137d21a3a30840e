"""Model serving over HTTP, without Kedro and Spark."""
