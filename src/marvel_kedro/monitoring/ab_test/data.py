"""Requests, served entities and labels of an A/B test."""

from datetime import timedelta

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.model import metrics
from marvel_kedro.monitoring.inference_log import parsing
from marvel_kedro.monitoring.inference_log.parsing import InferenceLog
from marvel_kedro.monitoring.options import ABTestOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import collect, lazily

SERVED_COLUMNS = ("served_entity_id", "served_entity_name", "entity_version", "change_time")
SCORED_COLUMNS = (*parsing.REQUEST_COLUMNS, "prediction", "probability")


def read_requests(payload: IntoFrame, options: ABTestOptions, table: TableSpec) -> InferenceLog:
    """Read the inference table: requests, scored records and rejected requests.

    Raises:
        ProjectError: It is not an inference table, or has too many rows.
    """
    rows = lazily(payload)
    parsing.check_columns(rows.collect_schema().names())
    # Days more than one outside the window stay on the engine; times decide about the others.
    day, slack = nw.col("request_date"), timedelta(days=1)
    if options.since:
        rows = rows.filter(day >= options.since - slack)
    if options.until:
        rows = rows.filter(day <= options.until + slack)
    collected = collect_columns(rows.to_native(), parsing.PAYLOAD_COLUMNS, options)
    return parsing.parse_payload(collected, table)


def collect_columns(
    table: IntoFrame, columns: tuple[str, ...], options: ABTestOptions
) -> pd.DataFrame:
    """Collect columns of a table of any engine, at most `max_requests` rows."""
    rows = lazily(table).select(*columns).to_native()
    return collect(rows, options.max_requests, "ab_test.max_requests")


def name_entities(
    requests: pd.DataFrame, served: pd.DataFrame, options: ABTestOptions
) -> pd.DataFrame:
    """Return unique display names by served entity id, champions first, then by latest change."""
    newest = served.sort_values("change_time").drop_duplicates("served_entity_id", keep="last")
    newest = newest.set_index("served_entity_id")
    ids = pd.Index(requests["served_entity_id"].dropna().unique()).difference(newest.index)
    names = [f"unknown {str(name)[:8]}" for name in ids]
    unknown = pd.DataFrame({"served_entity_name": names, "entity_version": ""}, index=ids)
    found = pd.concat([newest, unknown]) if len(unknown) else newest
    version = found["entity_version"].fillna("").astype("str")
    in_brackets = version.where(version == "", " (version " + version + ")")
    found["entity"] = found["served_entity_name"].str.cat(in_brackets)
    # The id distinguishes two models of one name and version.
    with_id = found["entity"] + " " + found.index.astype("str").str[:8]
    found["entity"] = found["entity"].mask(found["entity"].duplicated(keep=False), with_id)
    found["is_champion"] = found["served_entity_name"] == options.champion
    order = ["is_champion", "change_time", "entity"]
    return found.sort_values(order, ascending=[False, False, True])


def within(rows: pd.DataFrame, options: ABTestOptions) -> pd.DataFrame:
    """Select the rows from `since` to `until`."""
    if options.since:
        rows = rows[rows["request_time"].dt.date >= options.since]
    if options.until:
        rows = rows[rows["request_time"].dt.date <= options.until]
    return rows.reset_index(drop=True)


def add_labels(records: pd.DataFrame, labels: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """Add to each record its label, its loss and accuracy, and the day on which both are known.

    Returns:
        `SCORED_COLUMNS`, and these: `label` is null while it is unknown.
    """
    keyed = labels.dropna(subset=[table.key]).set_index(table.key)
    own = keyed.reindex(records[table.key]).set_axis(records.index)
    found = records[[*SCORED_COLUMNS]].assign(label=own[table.target.column])
    positive = found["label"].eq(table.target.positive).to_numpy(dtype=bool, na_value=False)
    labelled_at = pd.to_datetime(own["labelled_at"], utc=True)
    known = found["request_time"].where(
        ~(labelled_at > found["request_time"]), labelled_at.astype(found["request_time"].dtype)
    )
    return found.assign(
        day=found["request_time"].dt.floor("D"),
        known=known.dt.floor("D"),
        log_loss=-metrics.losses(positive, found["probability"].to_numpy(dtype=np.float64)),
        accuracy=(found["prediction"] == found["label"]).astype("float64"),
        client=client(found),
    )


def one_class(records: pd.DataFrame) -> list[str]:
    """Return a sentence for each entity with predictions of one class, and if all labels are."""
    sentences = [
        f"{entity} predicts {rows['prediction'].iloc[0]} for all {len(rows):,} records."
        for entity, rows in records.groupby("entity", sort=False)
        if len(rows) > 1 and len({*rows["prediction"]}) == 1
    ]
    labels = records["label"].dropna()
    if len(labels) > 1 and len({*labels}) == 1:
        sentences.append(f"All {len(labels):,} labels are {labels.iloc[0]}: there is no ROC AUC.")
    return sentences


def client(rows: pd.DataFrame) -> "pd.Series[str]":
    """Return the client of each row; a request without one counts as a client of its own."""
    return rows["client_request_id"].fillna(rows["databricks_request_id"])
