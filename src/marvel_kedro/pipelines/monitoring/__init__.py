"""Pipeline `monitoring`."""

METRICS = ("health_metrics", "profile_metrics", "drift_metrics", "quality_estimates")
"""Its tables of metrics, in the order of the parameters of nodes that read them."""
