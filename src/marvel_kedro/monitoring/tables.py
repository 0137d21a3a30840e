"""The tables of monitoring, column for column.

`PROFILE_METRICS` and `DRIFT_METRICS` are those that Databricks' data profiling writes for an
inference log whose model id is `model_version`. From memory and not verified on a workspace: the
members `one_vs_all` and `macro` of the quality metrics, and the names and types of the fairness
measures. The other tables are this project's own.
"""

import pyarrow as pa

TIME = pa.timestamp("us", "UTC")
WINDOW = pa.struct([("start", TIME), ("end", TIME)])
"""From `start` on, up to `end`, which is not in it."""

INPUT, BASELINE, CONSECUTIVE = "INPUT", "BASELINE", "CONSECUTIVE"
TABLE = ":table"
"""`column_name` of a row that is about all columns."""

_BY_CLASS = pa.map_(pa.string(), pa.float64())
_AVERAGED = pa.struct(
    [("one_vs_all", _BY_CLASS), ("macro", pa.float64()), ("weighted", pa.float64())]
)
_PARITY = pa.struct([("one_vs_all", _BY_CLASS)])
_TEST = pa.struct([("statistic", pa.float64()), ("pvalue", pa.float64())])

QUALITY_FIELDS = [
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
"""On rows of `TABLE` with labels."""

FAIRNESS_FIELDS = [
    pa.field(name, _PARITY)
    for name in (
        "predictive_parity",
        "predictive_equality",
        "equal_opportunity",
        "statistical_parity",
    )
]
"""On rows of `TABLE` of Boolean slices."""

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
        *QUALITY_FIELDS,
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
        ("estimate", pa.float64()),  # before labels: from calibrated probabilities
        ("low", pa.float64()),  # of the estimate, by the sampling error of so many records
        ("high", pa.float64()),
        ("realised", pa.float64()),  # from the labels that are known; null without
        ("baseline", pa.float64()),  # of the baseline, from its labels
        ("records", pa.int64()),
        ("labelled", pa.int64()),
    ]
)
"""One row a window, model version, slice and metric."""

HEALTH_METRICS = pa.schema(
    [
        ("window", WINDOW),
        ("granularity", pa.string()),
        ("served_entity_name", pa.string()),  # null: no entity answered
        ("model_version", pa.string()),
        ("requests", pa.int64()),
        ("answered", pa.int64()),  # status 200
        ("refused", pa.int64()),  # other 4xx than 429
        ("throttled", pa.int64()),  # 429
        ("failed", pa.int64()),  # 5xx, or no status
        ("unread", pa.int64()),  # answered, but no record of it can be read
        ("records", pa.int64()),
        ("labelled", pa.int64()),
        ("latency_p50_ms", pa.float64()),  # of answered requests whose records can be read
        ("latency_p95_ms", pa.float64()),
        ("latency_p99_ms", pa.float64()),
    ]
)
"""One row a window and served entity."""

ALERTS = pa.schema(
    [
        ("alert_id", pa.string()),  # the same for the same rule, window, model, slice and column
        ("rule", pa.string()),
        ("severity", pa.string()),  # info, warning, critical
        ("state", pa.string()),  # open, acknowledged, silenced, resolved
        ("window", WINDOW),
        ("granularity", pa.string()),
        ("model_version", pa.string()),
        ("slice_key", pa.string()),
        ("slice_value", pa.string()),
        ("column_name", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("windows_in_a_row", pa.int64()),
        ("pvalue", pa.float64()),  # as the test gave it
        ("adjusted_pvalue", pa.float64()),  # over all columns of the window
        ("message", pa.string()),
        ("first_seen", TIME),
        ("acknowledged_by", pa.string()),
        ("acknowledged_at", TIME),
        ("silenced_until", TIME),
        ("notified_at", TIME),
    ]
)
"""One row an alert: the newest window in which its rule fires for a model, slice and column."""

WATERMARKS = pa.schema(
    [
        ("request_date", pa.date32()),
        ("requests", pa.int64()),  # rows of the inference table that are in the log
        ("labelled", pa.int64()),  # records of the day whose label was known
        ("label_digest", pa.int64()),  # of these labels
        ("settings", pa.string()),  # digest of the options that the metrics were made with
    ]
)
"""One row a day of the inference table: how far monitoring has got with it."""


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Take the columns of a schema from a table that may have others, fewer, or close types.

    Args:
        table: Such as one that a managed monitor wrote.
        schema: What it is to be.

    Returns:
        The schema's columns in its order; one that the table lacks is null.
    """
    return pa.table(
        {
            field.name: table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
            for field in schema
        },
        schema=schema,
    )
