"""Arrow schemas of the monitoring tables.

`PROFILE_METRICS` and `DRIFT_METRICS` follow Databricks' data profiling of an inference log whose
model id column is `model_version`. Not verified on a workspace: the members `one_vs_all` and
`macro` of the performance metrics, and the names and types of the fairness metrics. The other
tables are specific to this project; those of records are functions of the table description.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.table.description import REMEDY, TableSpec

TIME = pa.timestamp("us", "UTC")
WINDOW = pa.struct([("start", TIME), ("end", TIME)])
"""`start` is inclusive, `end` exclusive."""

INPUT, BASELINE, CONSECUTIVE = "INPUT", "BASELINE", "CONSECUTIVE"
TABLE = ":table"
"""`column_name` of a row that covers the whole table."""
MONITOR_VERSION = 0
"""Databricks counts how often a monitor was re-created; this project's monitor never is."""

_DOUBLE, _STRING, _LONG = pa.float64(), pa.string(), pa.int64()
_BY_CLASS = ("one_vs_all", pa.map_(_STRING, _DOUBLE))
_TYPES = {
    "string": _STRING,
    "strings": pa.list_(_STRING),
    "double": _DOUBLE,
    "doubles": pa.list_(_DOUBLE),
    "long": _LONG,
    "int": pa.int32(),
    "date": pa.date32(),
    "time": TIME,
    "window": WINDOW,
    "averaged": pa.struct([_BY_CLASS, ("macro", _DOUBLE), ("weighted", _DOUBLE)]),
    "by_class": pa.struct([_BY_CLASS]),
    "roc_auc": pa.struct([("one_vs_one", pa.struct([("weighted", _DOUBLE)]))]),
    "cells": pa.list_(pa.struct([("prediction", _STRING), ("label", _STRING), ("count", _LONG)])),
    "items": pa.list_(pa.struct([("item", _STRING), ("count", _LONG)])),
    "added_missing": pa.struct([("added", pa.int32()), ("missing", pa.int32())]),
    "test": pa.struct([("statistic", _DOUBLE), ("pvalue", _DOUBLE)]),
}


def _schema(columns: str) -> pa.Schema:
    """Read a schema that is written like the columns of a table in SQL: `name type, ..`."""
    without_comments = re.sub("--.*", "", columns)
    pairs = map(str.split, without_comments.split(","))
    return pa.schema([(name, _TYPES[dtype]) for name, dtype in pairs])


PERFORMANCE_FIELDS = _schema("""
    accuracy_score double, log_loss double, confusion_matrix cells,
    precision averaged, recall averaged, f1_score averaged, roc_auc_score roc_auc
""")
"""Filled on `TABLE` rows with labels."""

FAIRNESS_FIELDS = _schema("""
    predictive_parity by_class, predictive_equality by_class,
    equal_opportunity by_class, statistical_parity by_class
""")
"""Filled on `TABLE` rows of Boolean slices."""

_PROFILE = _schema("""
    window window, log_type string, logging_table_commit_version int, monitor_version long,
    granularity string, slice_key string, slice_value string, column_name string,
    count long, data_type string, num_nulls long,
    avg double, quantiles doubles, min double, max double, stddev double,
    num_zeros long, num_nan long, min_length double, max_length double, avg_length double,
    non_null_columns strings, frequent_items items, median double, distinct_count long,
    percent_nan double, percent_null double, percent_zeros double, percent_distinct double,
    model_version string
""")
PROFILE_METRICS = pa.schema([*_PROFILE, *PERFORMANCE_FIELDS, *FAIRNESS_FIELDS])

DRIFT_METRICS = _schema("""
    window window, granularity string, monitor_version long,
    slice_key string, slice_value string, column_name string, data_type string,
    window_cmp window, drift_type string, count_delta long, avg_delta double,
    percent_null_delta double, percent_zeros_delta double, percent_distinct_delta double,
    non_null_columns_delta added_missing, js_distance double, ks_test test,
    wasserstein_distance double, population_stability_index double, chi_squared_test test,
    tv_distance double, l_infinity_distance double, model_version string
""")

QUALITY_ESTIMATES = _schema("""
    window window, granularity string, slice_key string, slice_value string, model_version string,
    metric string,                           -- roc_auc, accuracy, log_loss
    estimate double,                         -- from calibrated probabilities, without labels
    low double, high double,                 -- bounds of what labels of the window will show
    realised double,                         -- from the known labels; null without labels
    realised_error double,                   -- its standard error
    baseline double, baseline_error double,  -- of the baseline, from its labels
    records long, labelled long
""")
"""One row per window, model version, slice and metric."""

HEALTH_METRICS = _schema("""
    window window, granularity string,
    served_entity_name string,           -- null: no entity handled the request
    model_version string, requests long,
    answered long,                       -- status 200
    refused long, throttled long,        -- other 4xx than 429; 429
    failed long,                         -- 5xx, or no status
    unread long,                         -- status 200, but its records cannot be parsed
    records long, labelled long,
    -- Of requests with status 200 and parsed records:
    latency_p50_ms double, latency_p95_ms double, latency_p99_ms double
""")
"""One row per window and served entity."""

ALERTS = _schema("""
    alert_id string,            -- stable while the rule fires in consecutive windows
    rule string,
    severity string,            -- info, warning, critical
    state string,               -- open, acknowledged, silenced, resolved
    resolution string,          -- why it is resolved; null while it is not
    since time, window window,  -- start of the first, and the newest consecutive window
    granularity string, model_version string, slice_key string, slice_value string,
    column_name string, metric string, value double, threshold double, windows_in_a_row long,
    pvalue double,              -- unadjusted
    adjusted_pvalue double,     -- for multiple testing over the columns of the window
    message string, first_seen time,
    acknowledged_by string, acknowledged_at time, silenced_until time, notified_at time
""")
"""One row per alert: consecutive windows in which a rule fires for a model, slice and column.

The slice of a served entity's alert is `served_entity_name`. Model and slice are null for an alert
of the whole endpoint.
"""

ALERT_ACTIONS = _schema("""
    at time,
    action string,                 -- acknowledge, silence
    alert_id string, rule string,  -- one alert, or all alerts of a rule, future ones included
    by string,
    until time                     -- end of a silence
""")
"""One row per acknowledgement or silence."""

RETRAINING_LOG = _schema("""
    retrained_at time, reasons strings,
    labelled_records long,  -- labelled since the previous retraining
    labelled_in_all long,   -- null: written by a version without the column
    model_version string,   -- null: no version was registered
    outcome string,         -- started (unfinished), promoted, challenger, refused
    detail string           -- message of the promotion step
""")
"""One row per retraining."""

OPTIONAL_COLUMNS = frozenset({"labelled_in_all", "resolution"})
"""Columns that tables written by an earlier version of the project lack; read as null."""

WATERMARKS = _schema("""
    request_date date,
    requests long,   -- rows of the inference table when the day was read
    settings string  -- digest of settings and baselines of its metrics
""")
"""One row per day of the inference table: the state of its processing."""

_SERVED = """
    served_entity_id string,
    served_entity_name string,  -- null: not in served_entities
    model_version string        -- the entity id if not in served_entities
"""


def inference_log(table: TableSpec) -> pa.Schema:
    """Return the schema of the log: one row per scored record."""
    return _schema(f"""
        databricks_request_id string,
        record_number long,             -- zero-based position in the request
        request_date date, request_time time, {_SERVED},
        client_request_id string, {_record(table)},
        prediction string, probability double,
        execution_duration_ms long,     -- of the whole request
        {table.target.column} string,   -- the label; null until known
        labelled_at time
    """)


def _record(table: TableSpec) -> str:
    """Return the columns of a record that a client sends."""
    kinds = {name: "double" if one.is_number else "string" for name, one in table.inputs.items()}
    return ", ".join(f"{name} {kind}" for name, kind in ({table.key: "string"} | kinds).items())


REJECTED_REQUESTS = _schema(f"""
    databricks_request_id string, request_date date, request_time time, {_SERVED},
    client_request_id string, status_code long, execution_duration_ms long, reason string
""")
"""One row per request without a readable record."""
NO_RECORDS = "it has no records"
"""Reason of a request that could be read, and was empty."""


def monitoring_baseline(table: TableSpec) -> pa.Schema:
    """Return the schema of the baseline: the scores of the test set by each model version."""
    return _schema(f"""
        model_version string, {_record(table)},
        prediction string, probability double, {table.target.column} string
    """)


SERVED_ENTITIES = _schema(
    "served_entity_id string, served_entity_name string, entity_version string, change_time time"
)
"""Columns read from the table of served entities."""


def labels(table: TableSpec) -> pa.Schema:
    """Return the schema of the labels by key."""
    return _schema(f"{table.key} string, {table.target.column} string, labelled_at time")


_DESCRIBED: dict[str, Callable[[TableSpec], pa.Schema]] = {
    "INFERENCE_LOG": inference_log,
    "MONITORING_BASELINE": monitoring_baseline,
    "LABELS": labels,
}


def named(name: str, table: Mapping[str, Any] | None = None) -> pa.Schema:
    """Return the schema that a catalog entry names; some follow from the table description."""
    if make := _DESCRIBED.get(name):
        return make(validate(TableSpec, table, REMEDY))
    found: pa.Schema = globals()[name]
    return found


def check_columns(found: pa.Schema, name: str, schema: pa.Schema, place: str) -> None:
    """Check that a stored table has the columns of its schema, which may have changed.

    Labels are the user's: they may have more columns, and other types that are converted.

    Raises:
        ProjectError: It has not; the message names the table, the columns and the remedy.
    """
    faults = [f"lacks {one}" for one in schema.names if one not in found.names]
    if name != "LABELS":
        faults += [f"also has {one}" for one in found.names if one not in schema.names]
        faults += [
            f"has {field.name} as {found.field(field.name).type}, not {field.type}"
            for field in schema
            if field.name in found.names and found.field(field.name).type != field.type
        ]
    if not faults:
        return
    whose, moved = "this version of the project", "it"
    if name in _DESCRIBED:
        whose, moved = "the table description (table.yml)", "inference_log and monitoring_baseline"
    remedy = (
        f"Move {moved} away (in a lakehouse: ALTER TABLE .. RENAME TO ..); the next run fills a "
        "new one."
    )
    if name == "LABELS":
        remedy = f"Give it the columns {', '.join(schema.names)}, or move it away."
    raise ProjectError(
        f"The table {place} has other columns than {whose} gives it: it {', '.join(faults)}. "
        f"{remedy}"
    )


def sort_rows(table: pa.Table) -> pa.Table:
    """Sort a table of metrics by window, then by the other key columns."""
    keys = (
        *("granularity", "log_type", "drift_type", "served_entity_name", "model_version"),
        *("slice_key", "slice_value", "column_name", "metric"),
    )
    columns = table.select([name for name in keys if name in table.column_names])
    columns = columns.add_column(0, "start", pc.struct_field(table["window"], "start"))
    ascending = [(name, "ascending") for name in columns.column_names]
    return table.take(pc.sort_indices(columns, sort_keys=ascending))


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Convert a table with other, fewer or similarly typed columns, such as a managed monitor's.

    Times without an offset are UTC; digits below a microsecond are cut.

    Returns:
        The schema's columns in its order; a column that the table lacks is null.

    Raises:
        ArrowInvalid: A column has values of another type; it names the column.
    """
    columns = [
        _cast(table[field.name], field)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    is_time = pa.types.is_timestamp(field.type)
    has_nanoseconds = pa.types.is_timestamp(column.type) and column.type.unit == "ns"
    try:
        return column.cast(field.type, safe=not (is_time and has_nanoseconds))  # which are cut
    except pa.ArrowException as error:
        if is_time and "zone offset" in str(error):
            with suppress(pa.ArrowException):
                return column.cast(pa.timestamp(field.type.unit)).cast(field.type)
        raise pa.ArrowInvalid(f"{field.name}: {error}") from error
