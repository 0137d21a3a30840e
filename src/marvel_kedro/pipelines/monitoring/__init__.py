"""Pipeline `monitoring`."""

METRICS = ("health_metrics", "profile_metrics", "drift_metrics", "quality_estimates")
"""Its tables, which `alerting`, `reporting` and `exporting` read."""
