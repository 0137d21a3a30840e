"""Monitoring baseline: the test set as each model version scores it."""

import logging
from collections.abc import Iterable

import pandas as pd
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.registry import FindVersion, RegisteredModel
from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.tables import monitoring_baseline
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, to_pandas

logger = logging.getLogger(__name__)

MIN_ROWS = 300
"""Rows of which a null share of 30 % has a standard error of 3 percentage points."""


def score_versions(  # noqa: PLR0913, PLR0917 - two possible test sets
    versions: Iterable[str],
    find_version: FindVersion,
    test_set: AnyFrame,
    retrained: set[str],
    retraining_test_set: AnyFrame | None,
    table: TableSpec,
    max_rows: int,
) -> dict[str, pa.Table]:
    """Score a test set with model versions.

    A version made by `retraining` scores the test rows of the newest retraining, because drift
    from the previous version's data is no drift for it. Rows that a version was trained on are left
    out. A version that the registry lacks, or whose files are missing, gets no baseline; a warning
    names it. At most `max_rows` rows are collected from the engine.

    Returns:
        `monitoring_baseline` by version.
    """
    found: dict[str, pa.Table] = {}
    for version in versions:
        try:
            model = find_version(version)
        except ProjectError as error:
            logger.warning("          %s", shown(error, 500))
            continue
        if model is None:
            logger.warning(
                "          version %s is not in the registry: its windows have no baseline",
                shown(version),
            )
            continue
        if version in retrained and retraining_test_set is not None:
            found[version] = _score(
                model, to_pandas(retraining_test_set, table.key, max_rows), table
            )
            if len(found[version]) >= MIN_ROWS:
                continue
            logger.warning(
                "          version %s was tested on %s rows in its retraining, fewer than the %s "
                "that a baseline requires: its baseline is test_set",
                version,
                len(found[version]),
                MIN_ROWS,
            )
        found[version] = _score(model, to_pandas(test_set, table.key, max_rows), table)
    return found


def _score(model: RegisteredModel, test_set: pd.DataFrame, table: TableSpec) -> pa.Table:
    unseen = test_set[model.is_unseen(test_set, table)].reset_index(drop=True)
    scored = model.predict(unseen)
    rows = unseen.assign(
        model_version=model.version,
        prediction=scored["prediction"],
        probability=scored["probability"],
    )
    return pa.Table.from_pandas(rows, schema=monitoring_baseline(table), preserve_index=False)
