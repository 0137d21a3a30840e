"""The tables of monitoring, column for column.

`PROFILE_METRICS` and `DRIFT_METRICS` are those that Databricks' data profiling writes for an
inference log whose model id is `model_version`. From memory and not verified on a workspace: the
members `one_vs_all` and `macro` of the quality metrics, and the names and types of the fairness
measures. The other tables are this project's own.
"""

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS

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
        ("realised_error", pa.float64()),  # its standard error, by the number of labels
        ("baseline", pa.float64()),  # of the baseline, from its labels
        ("baseline_error", pa.float64()),
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
        ("alert_id", pa.string()),  # the same as long as it fires without a calm window
        ("rule", pa.string()),
        ("severity", pa.string()),  # info, warning, critical
        ("state", pa.string()),  # open, acknowledged, silenced, resolved
        ("since", TIME),  # the start of the first window of those in a row
        ("window", WINDOW),  # the newest of them
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
"""One row an alert: a stretch of windows in a row in which its rule fires for a model, slice and
column. Of an endpoint's entity the slice is `served_entity_name`; of the endpoint as a whole model
and slice are null."""

ALERT_ACTIONS = pa.schema(
    [
        ("at", TIME),
        ("action", pa.string()),  # acknowledge, silence
        ("alert_id", pa.string()),  # which alert, or
        ("rule", pa.string()),  # all alerts of a rule, those to come as well
        ("by", pa.string()),
        ("until", TIME),  # of a silence
    ]
)
"""One row a thing that somebody did about alerts."""

RETRAINING_LOG = pa.schema(
    [
        ("retrained_at", TIME),
        ("reasons", pa.list_(pa.string())),
        ("labelled_records", pa.int64()),  # whose label had become known since the one before
        ("labelled_in_all", pa.int64()),  # null: begun before this was noted
        ("model_version", pa.string()),  # null: none was registered
        ("outcome", pa.string()),  # started (and not ended), promoted, challenger, refused
        ("detail", pa.string()),  # what the gate said
    ]
)
"""One row a retraining."""

LATER_COLUMNS = frozenset({"labelled_in_all"})
"""What a table of an earlier version of the project may lack; there it is null."""

WATERMARKS = pa.schema(
    [
        ("request_date", pa.date32()),
        ("requests", pa.int64()),  # rows of the inference table when the day was read
        ("settings", pa.string()),  # what its metrics depend on beside the tables
    ]
)
"""One row a day of the inference table: how far monitoring has got with it."""

_FIELDS = [
    *((name, pa.string()) for name in TEXT_COLUMNS),
    *((name, pa.float64()) for name in NUMBER_COLUMNS),
]
_SERVED = [
    ("served_entity_id", pa.string()),
    ("served_entity_name", pa.string()),  # null: it is not in served_entities
    ("model_version", pa.string()),  # then the entity's id
]

INFERENCE_LOG = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("record_number", pa.int64()),  # place in the request, from 0 on
        ("request_date", pa.date32()),
        ("request_time", TIME),
        *_SERVED,
        ("client_request_id", pa.string()),
        ("page_id", pa.string()),
        *_FIELDS,
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("execution_duration_ms", pa.int64()),  # of the whole request
        ("alive", pa.string()),  # what became of the character; null until it is known
        ("labelled_at", TIME),
    ]
)
"""One row a scored record."""

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
"""One row a request of which no record can be read."""

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
"""One row a version and row of the test set, as that version scores it."""

SERVED_ENTITIES = pa.schema(
    [
        ("served_entity_id", pa.string()),
        ("served_entity_name", pa.string()),
        ("entity_version", pa.string()),
        ("change_time", TIME),
    ]
)
"""What is read of the table of served entities."""

LABELS = pa.schema([("page_id", pa.string()), ("alive", pa.string()), ("labelled_at", TIME)])
"""What became of the characters."""


_ORDER = (
    *("granularity", "log_type", "drift_type", "served_entity_name", "model_version"),
    *("slice_key", "slice_value", "column_name", "metric"),
)


def in_order(table: pa.Table) -> pa.Table:
    """Sort a table of metrics by window and then by what each row is about."""
    keys = pa.table(
        {
            "start": pc.struct_field(table["window"], "start"),
            **{name: table[name] for name in _ORDER if name in table.column_names},
        }
    )
    order = pc.sort_indices(keys, sort_keys=[(name, "ascending") for name in keys.column_names])
    return table.take(order)


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
