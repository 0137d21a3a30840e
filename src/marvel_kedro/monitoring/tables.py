"""Arrow schemas of the monitoring tables.

`PROFILE_METRICS` and `DRIFT_METRICS` follow Databricks' data profiling of an inference log whose
model id column is `model_version`. Not verified on a workspace: the members `one_vs_all` and
`macro` of the performance metrics, and the names and types of the fairness metrics. The other
tables are specific to this project.
"""

from functools import partial

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


def _of_type(dtype: pa.DataType, *names: str) -> list[pa.Field]:
    return [pa.field(name, dtype) for name in names]


_strings = partial(_of_type, pa.string())
_doubles = partial(_of_type, pa.float64())
_integers = partial(_of_type, pa.int64())

_BY_CLASS = pa.map_(pa.string(), pa.float64())
_AVERAGED = pa.struct([("one_vs_all", _BY_CLASS), *_doubles("macro", "weighted")])
_PARITY = pa.struct([("one_vs_all", _BY_CLASS)])
_TEST = pa.struct(_doubles("statistic", "pvalue"))
_CELL = pa.struct([*_strings("prediction", "label"), *_integers("count")])
_ITEM = pa.struct([*_strings("item"), *_integers("count")])

PERFORMANCE_FIELDS = [
    *_doubles("accuracy_score", "log_loss"),
    pa.field("confusion_matrix", pa.list_(_CELL)),
    *_of_type(_AVERAGED, "precision", "recall", "f1_score"),
    pa.field("roc_auc_score", pa.struct([("one_vs_one", pa.struct(_doubles("weighted")))])),
]
"""Filled on `TABLE` rows with labels."""

FAIRNESS_FIELDS = [
    *_of_type(_PARITY, "predictive_parity", "predictive_equality"),
    *_of_type(_PARITY, "equal_opportunity", "statistical_parity"),
]
"""Filled on `TABLE` rows of Boolean slices."""

PROFILE_METRICS = pa.schema(
    [
        ("window", WINDOW),
        ("log_type", pa.string()),
        ("logging_table_commit_version", pa.int32()),
        ("monitor_version", pa.int64()),
        *_strings("granularity", "slice_key", "slice_value", "column_name"),
        ("count", pa.int64()),
        ("data_type", pa.string()),
        ("num_nulls", pa.int64()),
        ("avg", pa.float64()),
        ("quantiles", pa.list_(pa.float64())),
        *_doubles("min", "max", "stddev"),
        *_integers("num_zeros", "num_nan"),
        *_doubles("min_length", "max_length", "avg_length"),
        ("non_null_columns", pa.list_(pa.string())),
        ("frequent_items", pa.list_(_ITEM)),
        ("median", pa.float64()),
        ("distinct_count", pa.int64()),
        *_doubles("percent_nan", "percent_null", "percent_zeros", "percent_distinct"),
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
        *_strings("slice_key", "slice_value", "column_name", "data_type"),
        ("window_cmp", WINDOW),
        ("drift_type", pa.string()),
        ("count_delta", pa.int64()),
        ("avg_delta", pa.float64()),
        *_doubles("percent_null_delta", "percent_zeros_delta", "percent_distinct_delta"),
        ("non_null_columns_delta", pa.struct([("added", pa.int32()), ("missing", pa.int32())])),
        ("js_distance", pa.float64()),
        ("ks_test", _TEST),
        *_doubles("wasserstein_distance", "population_stability_index"),
        ("chi_squared_test", _TEST),
        *_doubles("tv_distance", "l_infinity_distance"),
        ("model_version", pa.string()),
    ]
)

QUALITY_ESTIMATES = pa.schema(
    [
        ("window", WINDOW),
        *_strings("granularity", "slice_key", "slice_value", "model_version"),
        ("metric", pa.string()),  # roc_auc, accuracy, log_loss
        ("estimate", pa.float64()),  # from calibrated probabilities, without labels
        *_doubles("low", "high"),  # confidence bounds by the sampling error of `records`
        ("realised", pa.float64()),  # from the known labels; null without labels
        ("realised_error", pa.float64()),  # its standard error
        *_doubles("baseline", "baseline_error"),  # of the baseline, from its labels
        *_integers("records", "labelled"),
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
        *_integers("records", "labelled"),
        # Of requests with status 200 and parsed records:
        *_doubles("latency_p50_ms", "latency_p95_ms", "latency_p99_ms"),
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
        *_strings("granularity", "model_version", "slice_key", "slice_value"),
        *_strings("column_name", "metric"),
        *_doubles("value", "threshold"),
        ("windows_in_a_row", pa.int64()),
        ("pvalue", pa.float64()),  # unadjusted
        ("adjusted_pvalue", pa.float64()),  # for multiple testing over the columns of the window
        ("message", pa.string()),
        ("first_seen", TIME),
        ("acknowledged_by", pa.string()),
        *_of_type(TIME, "acknowledged_at", "silenced_until", "notified_at"),
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

_FEATURES = [*_strings(*TEXT_COLUMNS), *_doubles(*NUMBER_COLUMNS)]
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
        *_strings("client_request_id", "page_id"),
        *_FEATURES,
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
        *_integers("status_code", "execution_duration_ms"),
        ("reason", pa.string()),
    ]
)
"""One row per request without a readable record."""

MONITORING_BASELINE = pa.schema(
    [
        *_strings("model_version", "page_id"),
        *_FEATURES,
        ("prediction", pa.string()),
        ("probability", pa.float64()),
        ("alive", pa.string()),
    ]
)
"""One row per model version and row of the test set, with the scores of that version."""

SERVED_ENTITIES = pa.schema(
    [
        *_strings("served_entity_id", "served_entity_name", "entity_version"),
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
