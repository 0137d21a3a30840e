"""Arrow schemas of the monitoring tables.

`PROFILE_METRICS` and `DRIFT_METRICS` follow Databricks' data profiling of an inference log whose
model id column is `model_version`. Not verified on a workspace: the members `one_vs_all` and
`macro` of the performance metrics, and the names and types of the fairness metrics. The other
tables are specific to this project.
"""

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS

TIME = pa.timestamp("us", "UTC")
WINDOW = pa.struct([("start", TIME), ("end", TIME)])
"""`start` is inclusive, `end` exclusive."""

INPUT, BASELINE, CONSECUTIVE = "INPUT", "BASELINE", "CONSECUTIVE"
TABLE = ":table"
"""`column_name` of a row that covers the whole table."""
MONITOR_VERSION = 0
"""Databricks counts how often a monitor was re-created; this project's monitor never is."""

_BY_CLASS = pa.map_(pa.string(), pa.float64())
_AVERAGED = pa.struct(
    [("one_vs_all", _BY_CLASS), ("macro", pa.float64()), ("weighted", pa.float64())]
)
_PARITY = pa.struct([("one_vs_all", _BY_CLASS)])
_TEST = pa.struct([("statistic", pa.float64()), ("pvalue", pa.float64())])

PERFORMANCE_FIELDS = [
    pa.field("accuracy_score", pa.float64()),
    pa.field("log_loss", pa.float64()),
    pa.field(
        "confusion_matrix",
        pa.list_(
            pa.struct([("prediction", pa.string()), ("label", pa.string()), ("count", pa.int64())])
        ),
    ),
    pa.field("precision", _AVERAGED),
    pa.field("recall", _AVERAGED),
    pa.field("f1_score", _AVERAGED),
    pa.field("roc_auc_score", pa.struct([("one_vs_one", pa.struct([("weighted", pa.float64())]))])),
]
"""Filled on `TABLE` rows with labels."""

FAIRNESS_METRICS = (
    *("predictive_parity", "predictive_equality"),
    *("equal_opportunity", "statistical_parity"),
)
FAIRNESS_FIELDS = [pa.field(name, _PARITY) for name in FAIRNESS_METRICS]
"""Filled on `TABLE` rows of Boolean slices."""

PROFILE_METRICS = pa.schema(
    [
        ("window", WINDOW),
        ("log_type", pa.string()),
        ("logging_table_commit_version", pa.int32()),
        ("monitor_version", pa.int64()),
        ("granularity", pa.string()),
        ("slice_key", pa.string()),
        ("slice_value", pa.string()),
        ("column_name", pa.string()),
        ("count", pa.int64()),
        ("data_type", pa.string()),
        ("num_nulls", pa.int64()),
        ("avg", pa.float64()),
        ("quantiles", pa.list_(pa.float64())),
        ("min", pa.float64()),
        ("max", pa.float64()),
        ("stddev", pa.float64()),
        ("num_zeros", pa.int64()),
        ("num_nan", pa.int64()),
        ("min_length", pa.float64()),
        ("max_length", pa.float64()),
        ("avg_length", pa.float64()),
        ("non_null_columns", pa.list_(pa.string())),
        ("frequent_items", pa.list_(pa.struct([("item", pa.string()), ("count", pa.int64())]))),
        ("median", pa.float64()),
        ("distinct_count", pa.int64()),
        ("percent_nan", pa.float64()),
        ("percent_null", pa.float64()),
        ("percent_zeros", pa.float64()),
        ("percent_distinct", pa.float64()),
        ("model_version", pa.string()),
        *PERFORMANCE_FIELDS,
        *FAIRNESS_FIELDS,
    ]
)

DRIFT_METRICS = pa.schema(
    [
        ("window", WINDOW),
        ("granularity", pa.string()),
        ("monitor_version", pa.int64()),
        ("slice_key", pa.string()),
        ("slice_value", pa.string()),
        ("column_name", pa.string()),
        ("data_type", pa.string()),
        ("window_cmp", WINDOW),
        ("drift_type", pa.string()),
        ("count_delta", pa.int64()),
        ("avg_delta", pa.float64()),
        ("percent_null_delta", pa.float64()),
        ("percent_zeros_delta", pa.float64()),
        ("percent_distinct_delta", pa.float64()),
        ("non_null_columns_delta", pa.struct([("added", pa.int32()), ("missing", pa.int32())])),
        ("js_distance", pa.float64()),
        ("ks_test", _TEST),
        ("wasserstein_distance", pa.float64()),
        ("population_stability_index", pa.float64()),
        ("chi_squared_test", _TEST),
        ("tv_distance", pa.float64()),
        ("l_infinity_distance", pa.float64()),
        ("model_version", pa.string()),
    ]
)

QUALITY_ESTIMATES = pa.schema(
    [
        ("window", WINDOW),
        ("granularity", pa.string()),
        ("slice_key", pa.string()),
        ("slice_value", pa.string()),
        ("model_version", pa.string()),
        ("metric", pa.string()),  # roc_auc, accuracy, log_loss
        ("estimate", pa.float64()),  # from calibrated probabilities, without labels
        ("low", pa.float64()),  # confidence bounds by the sampling error of `records`
        ("high", pa.float64()),
        ("realised", pa.float64()),  # from the known labels; null without labels
        ("realised_error", pa.float64()),  # its standard error
        ("baseline", pa.float64()),  # of the baseline, from its labels
        ("baseline_error", pa.float64()),
        ("records", pa.int64()),
        ("labelled", pa.int64()),
    ]
)
"""One row per window, model version, slice and metric."""

HEALTH_METRICS = pa.schema(
    [
        ("window", WINDOW),
        ("granularity", pa.string()),
        ("served_entity_name", pa.string()),  # null: no entity handled the request
        ("model_version", pa.string()),
        ("requests", pa.int64()),
        ("answered", pa.int64()),  # status 200
        ("refused", pa.int64()),  # other 4xx than 429
        ("throttled", pa.int64()),  # 429
        ("failed", pa.int64()),  # 5xx, or no status
        ("unread", pa.int64()),  # status 200, but its records cannot be parsed
        ("records", pa.int64()),
        ("labelled", pa.int64()),
        ("latency_p50_ms", pa.float64()),  # of status 200 with parsed records
        ("latency_p95_ms", pa.float64()),
        ("latency_p99_ms", pa.float64()),
    ]
)
"""One row per window and served entity."""

ALERTS = pa.schema(
    [
        ("alert_id", pa.string()),  # stable while the rule fires in consecutive windows
        ("rule", pa.string()),
        ("severity", pa.string()),  # info, warning, critical
        ("state", pa.string()),  # open, acknowledged, silenced, resolved
        ("since", TIME),  # start of the first consecutive window
        ("window", WINDOW),  # the newest consecutive window
        ("granularity", pa.string()),
        ("model_version", pa.string()),
        ("slice_key", pa.string()),
        ("slice_value", pa.string()),
        ("column_name", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("windows_in_a_row", pa.int64()),
        ("pvalue", pa.float64()),  # unadjusted
        ("adjusted_pvalue", pa.float64()),  # for multiple testing over the columns of the window
        ("message", pa.string()),
        ("first_seen", TIME),
        ("acknowledged_by", pa.string()),
        ("acknowledged_at", TIME),
        ("silenced_until", TIME),
        ("notified_at", TIME),
    ]
)
"""One row per alert: consecutive windows in which a rule fires for a model, slice and column.

The slice of a served entity's alert is `served_entity_name`. Model and slice are null for an alert
of the whole endpoint.
"""

ALERT_ACTIONS = pa.schema(
    [
        ("at", TIME),
        ("action", pa.string()),  # acknowledge, silence
        ("alert_id", pa.string()),  # one alert, or
        ("rule", pa.string()),  # all alerts of a rule, future ones included
        ("by", pa.string()),
        ("until", TIME),  # end of a silence
    ]
)
"""One row per acknowledgement or silence."""

RETRAINING_LOG = pa.schema(
    [
        ("retrained_at", TIME),
        ("reasons", pa.list_(pa.string())),
        ("labelled_records", pa.int64()),  # labelled since the previous retraining
        ("labelled_in_all", pa.int64()),  # null: written by a version without the column
        ("model_version", pa.string()),  # null: no version was registered
        ("outcome", pa.string()),  # started (unfinished), promoted, challenger, refused
        ("detail", pa.string()),  # message of the promotion step
    ]
)
"""One row per retraining."""

OPTIONAL_COLUMNS = frozenset({"labelled_in_all"})
"""Columns that tables written by an earlier version of the project lack; read as null."""

WATERMARKS = pa.schema(
    [
        ("request_date", pa.date32()),
        ("requests", pa.int64()),  # rows of the inference table when the day was read
        ("settings", pa.string()),  # digest of settings and baselines of its metrics
    ]
)
"""One row per day of the inference table: the state of its processing."""

_FIELDS = [
    *((name, pa.string()) for name in TEXT_COLUMNS),
    *((name, pa.float64()) for name in NUMBER_COLUMNS),
]
_SERVED = [
    ("served_entity_id", pa.string()),
    ("served_entity_name", pa.string()),  # null: not in served_entities
    ("model_version", pa.string()),  # the entity id if not in served_entities
]

INFERENCE_LOG = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("record_number", pa.int64()),  # zero-based position in the request
        ("request_date", pa.date32()),
        ("request_time", TIME),
        *_SERVED,
        ("client_request_id", pa.string()),
        ("page_id", pa.string()),
        *_FIELDS,
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("execution_duration_ms", pa.int64()),  # of the whole request
        ("alive", pa.string()),  # the label; null until known
        ("labelled_at", TIME),
    ]
)
"""One row per scored record."""

REJECTED_REQUESTS = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("request_date", pa.date32()),
        ("request_time", TIME),
        *_SERVED,
        ("client_request_id", pa.string()),
        ("status_code", pa.int64()),
        ("execution_duration_ms", pa.int64()),
        ("reason", pa.string()),
    ]
)
"""One row per request without a readable record."""

MONITORING_BASELINE = pa.schema(
    [
        ("model_version", pa.string()),
        ("page_id", pa.string()),
        *_FIELDS,
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("alive", pa.string()),
    ]
)
"""One row per model version and row of the test set, with the scores of that version."""

SERVED_ENTITIES = pa.schema(
    [
        ("served_entity_id", pa.string()),
        ("served_entity_name", pa.string()),
        ("entity_version", pa.string()),
        ("change_time", TIME),
    ]
)
"""Columns read from the table of served entities."""

LABELS = pa.schema([("page_id", pa.string()), ("alive", pa.string()), ("labelled_at", TIME)])
"""Labels by key."""


_SORT_COLUMNS = (
    *("granularity", "log_type", "drift_type", "served_entity_name", "model_version"),
    *("slice_key", "slice_value", "column_name", "metric"),
)


def sort_rows(table: pa.Table) -> pa.Table:
    """Sort a table of metrics by window, then by the other key columns."""
    columns = [name for name in _SORT_COLUMNS if name in table.column_names]
    keys = table.select(columns).append_column("start", pc.struct_field(table["window"], "start"))
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in ("start", *columns)])
    return table.take(order)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert a table to a schema.

    Args:
        table: A table with other, fewer or similarly typed columns, such as a managed monitor's.
        schema: The target schema.

    Returns:
        The schema's columns in its order; a column that the table lacks is null.
    """
    return pa.table(
        [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
            for field in schema
        ],
        schema=schema,
    )
