"""Schemas that Databricks' data profiling writes for an inference log, in Spark's notation.

Independent of `tables.py`: members and types are those of the platform.
"""

import pyarrow as pa

WINDOW = "struct<start timestamp, end timestamp>"
TEST = "struct<statistic double, pvalue double>"
AVERAGED = "struct<one_vs_all map<string, double>, macro double, weighted double>"
PARITY = "struct<one_vs_all map<string, double>>"

CONTRACT = {
    "profile_metrics": [
        f"window {WINDOW}",
        "log_type string",
        "logging_table_commit_version int",
        "monitor_version bigint",
        "granularity string",
        "slice_key string",
        "slice_value string",
        "column_name string",
        "count bigint",
        "data_type string",
        "num_nulls bigint",
        "avg double",
        "quantiles array<double>",
        "min double",
        "max double",
        "stddev double",
        "num_zeros bigint",
        "num_nan bigint",
        "min_length double",
        "max_length double",
        "avg_length double",
        "non_null_columns array<string>",
        "frequent_items array<struct<item string, count bigint>>",
        "median double",
        "distinct_count bigint",
        "percent_nan double",
        "percent_null double",
        "percent_zeros double",
        "percent_distinct double",
        "model_version string",
        "accuracy_score double",
        "log_loss double",
        "confusion_matrix array<struct<prediction string, label string, count bigint>>",
        f"precision {AVERAGED}",
        f"recall {AVERAGED}",
        f"f1_score {AVERAGED}",
        "roc_auc_score struct<one_vs_one struct<weighted double>>",
        f"predictive_parity {PARITY}",
        f"predictive_equality {PARITY}",
        f"equal_opportunity {PARITY}",
        f"statistical_parity {PARITY}",
    ],
    "drift_metrics": [
        f"window {WINDOW}",
        "granularity string",
        "monitor_version bigint",
        "slice_key string",
        "slice_value string",
        "column_name string",
        "data_type string",
        f"window_cmp {WINDOW}",
        "drift_type string",
        "count_delta bigint",
        "avg_delta double",
        "percent_null_delta double",
        "percent_zeros_delta double",
        "percent_distinct_delta double",
        "non_null_columns_delta struct<added int, missing int>",
        "js_distance double",
        f"ks_test {TEST}",
        "wasserstein_distance double",
        "population_stability_index double",
        f"chi_squared_test {TEST}",
        "tv_distance double",
        "l_infinity_distance double",
        "model_version string",
    ],
}

_PLAIN = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.timestamp("us", "UTC"): "timestamp",
}


def columns(schema: pa.Schema) -> list[str]:
    """Return the columns of a schema in Spark's notation."""
    return [f"{field.name} {_type(field.type)}" for field in schema]


def _type(kind: pa.DataType) -> str:
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name} {_type(field.type)}' for field in kind)}>"
    if pa.types.is_list(kind):
        return f"array<{_type(kind.value_type)}>"
    if pa.types.is_map(kind):
        return f"map<{_type(kind.key_type)}, {_type(kind.item_type)}>"
    return _PLAIN[kind]
