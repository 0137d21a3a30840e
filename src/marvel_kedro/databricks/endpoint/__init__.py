"""Deployment of the configured endpoint to Model Serving of a Databricks workspace.

Only what differs from the configuration is changed. Written from the source of databricks-sdk and
from public documentation; not yet run against a workspace.

- `spec`: the endpoint that the configuration requests, in the SDK's types.
- `deployment`, `traffic_shift`: the commands `kedro deploy` and `kedro endpoint`.
- `update`: changes what is served, waits for it, and rolls back if the `smoke` test fails.
- `errors`: messages and remedies for rejected requests.
"""
