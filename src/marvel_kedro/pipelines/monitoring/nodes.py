"""Read what is new in the inference table, count it, measure it."""

import logging
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING

import narwhals as nw
import pandas as pd
import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.model.registry import FindVersion, RegisteredModel
from marvel_kedro.monitoring.aggregation import counting, watermarks
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups
from marvel_kedro.monitoring.aggregation.watermarks import Days, Scope
from marvel_kedro.monitoring.alerting import retraining_policy
from marvel_kedro.monitoring.inference_log import parsing, records
from marvel_kedro.monitoring.managed import Refresh
from marvel_kedro.monitoring.metrics import drift as drifts
from marvel_kedro.monitoring.metrics import operational as healthy
from marvel_kedro.monitoring.metrics import performance_estimation as estimated
from marvel_kedro.monitoring.metrics import profile as profiles
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.monitoring.tables import MONITORING_BASELINE, SERVED_ENTITIES
from marvel_kedro.table.frames import AnyFrame, lazily, to_pandas
from marvel_kedro.table.local_engine import on_engine
from marvel_kedro.table.replacement import Replacement

if TYPE_CHECKING:
    from datetime import date

logger = logging.getLogger(__name__)


def find_days(  # noqa: PLR0913, PLR0917 - what is new may be in any of them
    inference_payload: IntoFrame,
    served_entities: IntoFrame,
    labels: AnyFrame,
    known_log: IntoFrame,
    known_rejected: IntoFrame,
    known_health: pa.Table,
    known_watermarks: pa.Table,
    options: MonitoringOptions,
) -> tuple[Days, pa.Table]:
    """See which days of the inference table, of its names or of its labels have changed.

    Returns:
        The days, and the watermarks in which they are marked as unread.
    """
    payload = lazily(on_engine(inference_payload))
    parsing.check_columns(payload.collect_schema().names())
    counted = payload.group_by("request_date").agg(rows=nw.len()).collect("pyarrow").to_native()
    requests = {row["request_date"]: row["rows"] for row in counted.to_pylist()}
    if undated := requests.pop(None, 0):
        logger.warning(
            "          %s requests have no request_date: they are in no table", f"{undated:,}"
        )
    if odd := records.unknown_labels(labels):
        logger.warning(
            "          %s labels are neither Alive nor Dead and do not count: %s",
            f"{sum(odd.values()):,}",
            ", ".join(odd),
        )
    served = _served(served_entities)
    if not _versions(known_log):  # somebody has moved it away, or there was none
        known_watermarks = known_watermarks.slice(0, 0)
    lost = healthy.days_with_rejected(known_health) if _is_empty(known_rejected) else set()
    changed = records.relabelled(known_log, labels)
    days = watermarks.find_days(
        requests,
        records.renamed(known_log, served) | records.renamed(known_rejected, served) | lost,
        lazily(changed).collect("pyarrow").to_native()["request_date"].to_pylist(),
        known_watermarks,
        options,
    )
    logger.info(
        "          %s days to read, %s with other labels", len(days.read), len(days.relabel)
    )
    return days, watermarks.begin(days, known_watermarks)


def _is_empty(table: IntoFrame) -> bool:
    return not len(lazily(on_engine(table)).select("reason").head(1).collect("pyarrow"))


def _served(served_entities: IntoFrame) -> records.Served:
    entities = lazily(on_engine(served_entities)).select(*SERVED_ENTITIES.names)
    return records.served_by_id(entities.collect("pyarrow").to_native().to_pandas())


def update_log(
    inference_payload: IntoFrame,
    served_entities: IntoFrame,
    labels: AnyFrame,
    known_log: IntoFrame,
    days: Days,
) -> Iterator[tuple[Replacement, Replacement]]:
    """Read the requests of the days that have changed, and label them.

    Yields:
        What takes the place of these days in `inference_log` and `rejected_requests`: on Spark at
        once, elsewhere a day after the other.
    """
    served = _served(served_entities)
    payload = on_engine(inference_payload)
    if lazily(payload).implementation.is_spark_like() or not days.changed:
        yield _update(payload, served, labels, known_log, days)
        return
    steps = [Days({}, (day,), ()) for day in days.read]
    steps += [Days({}, (), (day,)) for day in days.relabel]
    for step in steps:
        yield _whole(_update(payload, served, labels, known_log, step))


def _update(
    payload: AnyFrame, served: records.Served, labels: AnyFrame, known_log: AnyFrame, days: Days
) -> tuple[Replacement, Replacement]:
    parsed = on_engine(records.parse(payload, list(days.read), served))
    rows = lazily(records.records(parsed))
    if days.relabel:
        again = lazily(on_engine(known_log)).filter(nw.col("request_date").is_in(days.relabel))
        rows = nw.concat([rows, again.select(*rows.collect_schema().names())], how="vertical")
    return (
        Replacement("request_date", days.changed, records.labelled(rows.to_native(), labels)),
        Replacement("request_date", days.read, records.rejected(parsed)),
    )


def _whole(replacements: tuple[Replacement, Replacement]) -> tuple[Replacement, Replacement]:
    """With the rows of a day in this process, so that they are computed once."""
    log, rejected = (
        Replacement(each.column, each.values, _read_once(each.rows.to_arrow_table()))
        for each in replacements
    )
    return log, rejected


def _read_once(table: pa.Table) -> pa.RecordBatchReader:
    """Rows that are let go as they are read: Kedro keeps what a node has yielded, day after day."""
    batches = deque(table.to_batches())
    return pa.RecordBatchReader.from_batches(
        table.schema, (batches.popleft() for _ in range(len(batches)))
    )


def extend_baseline(  # noqa: PLR0913, PLR0917 - a version has been tested on either
    inference_log: IntoFrame,
    known_baseline: IntoFrame,
    registered_versions: FindVersion,
    test_set: IntoFrame,
    retested_on: IntoFrame | None,
    retraining_log: pa.Table,
    max_rows: int,
) -> Replacement:
    """Score its test set with each version that has answered and was not met before.

    For a version that `retraining` has made these are the rows that the newest retraining tested
    on: what was drift for the version before is no drift for this one. Rows that a version was
    trained on, by another split, do not count. A version that the registry
    does not know, or whose files are gone, has nothing to be held against; a warning says so.
    """
    met = [_versions(table) for table in (inference_log, known_baseline)]
    retrained = retraining_policy.retrained_versions(retraining_log)
    found: dict[str, pa.Table] = {}
    for version in sorted(met[0] - met[1]):
        try:
            model = registered_versions(version)
        except ProjectError as error:
            logger.warning("          %s", error)
            continue
        if model is None:
            logger.warning(
                "          version %s is not in the registry: its windows have no baseline", version
            )
            continue
        if version in retrained and retested_on is not None:
            found[version] = _baseline_of(model, to_pandas(retested_on, max_rows))
            if len(found[version]) >= _LEAST_BASELINE:
                continue
            logger.warning(
                "          version %s was tested on %s rows in its retraining, too few to hold "
                "windows against: its baseline is test_set",
                version,
                len(found[version]),
            )
        found[version] = _baseline_of(model, to_pandas(test_set, max_rows))
    return Replacement(
        "model_version",
        list(found),
        pa.concat_tables([MONITORING_BASELINE.empty_table(), *found.values()]),
    )


_LEAST_BASELINE = 300
"""Rows, of which a share of nulls of 30 % is off by 3 percentage points."""


def _versions(table: IntoFrame) -> set[str]:
    found = lazily(on_engine(table)).select("model_version").unique().collect("pyarrow").to_native()
    return set(found["model_version"].to_pylist()) - {None}


def _baseline_of(model: RegisteredModel, test: pd.DataFrame) -> pa.Table:
    new = test[model.is_unseen(test)].reset_index(drop=True)
    scored = model.predict(new)
    rows = new[["page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "alive"]].assign(
        model_version=model.version,
        prediction=scored["prediction"],
        probability=scored["probability"],
    )
    return pa.Table.from_pandas(rows, schema=MONITORING_BASELINE, preserve_index=False)


def find_scope(  # noqa: PLR0913, PLR0917 - what is lost may be any of the tables
    days: Days,
    known_watermarks: pa.Table,
    inference_log: IntoFrame,
    monitoring_baseline: IntoFrame,
    known_health: pa.Table,
    known_profile: pa.Table,
    known_drift: pa.Table,
    known_estimates: pa.Table,
    options: MonitoringOptions,
) -> tuple[Scope, pa.Table]:
    """See which windows are to be measured, and which days of the log that takes.

    Returns:
        Both, and the watermarks in which all days are marked if nothing stays.
    """
    columns = ["request_date", "model_version"]
    pairs = (
        lazily(on_engine(inference_log)).select(*columns).unique().collect("pyarrow").to_native()
    )
    versions: dict[date, set[str]] = {}
    for day, version in zip(*(pairs[name].to_pylist() for name in columns), strict=True):
        versions.setdefault(day, set()).add(version)
    measured = (known_health, known_profile, known_drift, known_estimates)
    scope = watermarks.find_scope(
        days,
        known_watermarks,
        versions,
        _versions(monitoring_baseline),
        options,
        lost=len(known_watermarks) > 0 and not all(map(len, measured)),
    )
    return scope, watermarks.begin_anew(known_watermarks, scope)


def count_records(
    inference_log: IntoFrame,
    monitoring_baseline: IntoFrame,
    scope: Scope,
    options: MonitoringOptions,
) -> tuple[Groups, Baseline]:
    """Count, on the engine, what the metrics are made of."""
    log = _of_days(inference_log, scope)
    groups = counting.groups(counting.count(log, options), options.granularities, options)
    return groups, counting.count_baseline(on_engine(monitoring_baseline), options)


def measure_health(
    inference_log: IntoFrame,
    rejected_requests: IntoFrame,
    known_health: pa.Table,
    scope: Scope,
    options: MonitoringOptions,
) -> pa.Table:
    """Measure traffic, refusals and latency by window and served entity."""
    log, rejected = (_of_days(table, scope) for table in (inference_log, rejected_requests))
    counted = healthy.count_requests(log, rejected, options.granularities)
    return scope.merge(known_health, healthy.health_metrics(*counted, options.granularities))


def ask_managed_monitor(
    managed_monitor: Refresh | None,
    inference_log: IntoFrame,  # noqa: ARG001 - it has to be up to date before
    monitoring_baseline: IntoFrame,  # noqa: ARG001 - likewise
    options: MonitoringOptions,
) -> tuple[pa.Table, ...]:
    """Have a managed monitor compute the metrics, if `monitoring.computed_by` says so.

    Returns:
        Its profile and drift metrics; nothing if the project computes them.

    Raises:
        ProjectError: There is no such monitor in this environment.
    """
    if options.computed_by == "project":
        return ()
    if managed_monitor is None:
        raise ProjectError(
            "monitoring.computed_by: databricks is for tables of a workspace: run with "
            "--env lakehouse there, or let the project compute the metrics (project)."
        )
    return managed_monitor(options)


def profile(
    groups: Groups,
    baseline: Baseline,
    known_profile: pa.Table,
    scope: Scope,
    managed: tuple[pa.Table, ...],
) -> pa.Table:
    """Describe every column in every window, and the quality of the predictions."""
    if managed:
        return managed[0]
    made = {key: group for key, group in groups.items() if key[0] in scope.windows}
    return scope.merge(known_profile, profiles.profile_metrics(made, baseline))


def measure_drift(
    groups: Groups,
    baseline: Baseline,
    known_drift: pa.Table,
    scope: Scope,
    managed: tuple[pa.Table, ...],
) -> pa.Table:
    """Hold every window against the one before it and against the baseline."""
    if managed:
        return managed[1]
    return scope.merge(known_drift, drifts.drift_metrics(groups, baseline))


def estimate_quality(
    groups: Groups,
    baseline: Baseline,
    known_estimates: pa.Table,
    scope: Scope,
    options: MonitoringOptions,
) -> pa.Table:
    """Estimate the quality before the labels come, beside what the labels say."""
    made = {key: group for key, group in groups.items() if key[0] in scope.windows}
    return scope.merge(
        known_estimates, estimated.quality_estimates(made, baseline, options.confidence)
    )


def note_progress(
    days: Days,
    known_watermarks: pa.Table,
    scope: Scope,
    *_: pa.Table,
) -> pa.Table:
    """Note what has been read and measured; it waits for every table, so it comes last."""
    return watermarks.finish(days, known_watermarks, scope)


def _of_days(table: IntoFrame, scope: Scope) -> AnyFrame:
    return lazily(on_engine(table)).filter(nw.col("request_date").is_in(scope.days)).to_native()
