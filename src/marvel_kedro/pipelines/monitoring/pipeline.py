"""Pipeline `monitoring`: from the inference table to tables of metrics."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.monitoring.inference_log import changed_days, records
from marvel_kedro.pipelines.monitoring import METRICS, nodes

_OPTIONS, _TABLE = "params:monitoring", "params:table"


def create_pipeline() -> Pipeline:
    """Create `monitoring` without alerting, reporting and exporting."""
    return Pipeline(
        [
            node(
                changed_days.find_days,
                [
                    *("inference_payload", "served_entities", "known_labels", "known_log"),
                    *("known_rejected", "known_health", "known_watermarks", _OPTIONS, _TABLE),
                ],
                ["days", "begun_watermarks"],
                name="find_days",
            ),
            node(
                records.read_changed_days,
                [
                    *("inference_payload", "served_entities", "known_labels", "known_log"),
                    *("days", _TABLE),
                ],
                ["inference_log", "rejected_requests"],
                name="update_log",
            ),
            node(
                nodes.extend_baseline,
                [
                    *("inference_log", "known_baseline", "registered_versions", "test_set"),
                    *("newest_retraining_test_set", "known_retraining_log"),
                    *(_TABLE, "params:training.max_rows"),
                ],
                "monitoring_baseline",
                name="extend_baseline",
            ),
            node(
                nodes.find_scope,
                [
                    *("days", "known_watermarks", "inference_log", "monitoring_baseline"),
                    *(_OPTIONS, _TABLE),
                    *("known_health", "known_profile", "known_drift", "known_estimates"),
                ],
                ["scope", "anew_watermarks"],
                name="find_scope",
            ),
            node(
                nodes.count_records,
                ["inference_log", "monitoring_baseline", "scope", _OPTIONS, _TABLE],
                ["groups", "baseline"],
                name="count_records",
            ),
            node(
                nodes.measure_operations,
                ["inference_log", "rejected_requests", "known_health", "scope", _OPTIONS, _TABLE],
                "health_metrics",
                name="measure_operations",
            ),
            node(
                nodes.refresh_managed_monitor,
                ["managed_monitor", "inference_log", "monitoring_baseline", _OPTIONS],
                "managed_metrics",
                name="refresh_managed_monitor",
            ),
            node(
                nodes.profile_columns,
                ["groups", "baseline", "known_profile", "scope", "managed_metrics", _TABLE],
                "profile_metrics",
                name="profile_columns",
            ),
            node(
                nodes.measure_drift,
                ["groups", "baseline", "known_drift", "scope", "managed_metrics"],
                "drift_metrics",
                name="measure_drift",
            ),
            node(
                nodes.estimate_performance,
                ["groups", "baseline", "known_estimates", "scope", _OPTIONS],
                "quality_estimates",
                name="estimate_performance",
            ),
            node(
                nodes.complete_watermarks,
                ["days", "known_watermarks", "scope", *METRICS],
                "watermarks",
                name="complete_watermarks",
            ),
        ],
        tags="monitoring",
    )
