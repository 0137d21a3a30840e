"""The raw file before a run: synthetic rows where there is none, and never over real ones."""

import logging
from typing import Any

import pandas as pd
from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Pipeline
from kedro.runner import SequentialRunner

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table import synthetic_rows
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily

logger = logging.getLogger(__name__)

RAW = "raw_table"
_TABLES = ("records", "train_set", "test_set")  # those with the key by row
_WOULD_OVERWRITE = (
    "The pipeline `synthetic` would overwrite the raw file (raw_table), which {}. "
    "Move it away first."
)
_REMEDY = (
    "Put the real file back in its place ({path}). To start with synthetic rows, use other places: "
    "another copy of the project, or make clean, which deletes all tables, runs and models."
)


def require_file(pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], table: TableSpec) -> None:
    """Raise a `ProjectError` if the raw file is missing, and no synthetic rows stand in for it."""
    if table.world or RAW not in pipeline.inputs() or catalog.exists(RAW):
        return
    path = getattr(catalog.get(RAW), "_filepath", table.file)
    raise ProjectError(
        f"There is no raw file of the table {table.name} at {path}. Put it there, or describe "
        "another file: kedro adopt FILE."
    )


def keep_real_file(
    pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], table: TableSpec
) -> None:
    """Raise a `ProjectError` if a run would overwrite a raw file that is not synthetic."""
    if RAW in pipeline.all_outputs() and catalog.exists(RAW):
        try:
            is_real = not _is_synthetic_file(catalog, table)
        except DatasetError as error:
            raise ProjectError(_WOULD_OVERWRITE.format("cannot be read")) from error
        if is_real:
            raise ProjectError(_WOULD_OVERWRITE.format("is not synthetic"))


def keep_real_tables(
    pipeline: Pipeline, catalog: CatalogProtocol[Any, Any], table: TableSpec, model_name: str
) -> None:
    """Raise a `ProjectError` if synthetic rows would replace tables of a real file.

    They, or those made from them, are there if a table has real rows, or the champion learnt some.

    A file that cannot be read has its own message later.
    """
    made = [name for name in _TABLES if name in pipeline.all_outputs()]
    if not made or RAW not in pipeline.inputs():
        return
    try:
        if catalog.exists(RAW) and not _is_synthetic_file(catalog, table):
            return
    except (DatasetError, ProjectError):
        return
    what = "is synthetic" if catalog.exists(RAW) else "is missing"
    if real := [
        name for name in made if catalog.exists(name) and _is_real(catalog, name, table.key)
    ]:
        raise ProjectError(
            f"The raw file {what}, and {', '.join(real)} come from a real one: synthetic rows "
            "would replace them and what was made from them, such as predictions. "
            f"{_remedy(catalog)}"
        )
    from marvel_kedro.model.aliases import find_version  # noqa: PLC0415 - slow

    champion = find_version(model_name, alias="champion")
    if champion and champion.tags.get("data_source") != "synthetic":
        raise ProjectError(
            f"The raw file {what}, and the champion, version {champion.version} of the model "
            f"'{model_name}', was trained on a real one: synthetic rows would replace its "
            f"predictions. {_remedy(catalog)}"
        )


def make_missing(catalog: CatalogProtocol[Any, Any], synthetic: Pipeline, rows: int) -> None:
    """Generate a synthetic raw file if there is none."""
    if catalog.exists(RAW):
        return
    logger.warning(
        "There is no raw file: generating a synthetic one of %s rows. "
        "docs/pipelines.md says where to get the real one.",
        f"{rows:,}",
    )
    SequentialRunner().run(synthetic, catalog)


def _remedy(catalog: CatalogProtocol[Any, Any]) -> str:
    return _REMEDY.format(path=getattr(catalog.get(RAW), "_filepath", RAW))


def _is_synthetic_file(catalog: CatalogProtocol[Any, Any], table: TableSpec) -> bool:
    dataset: Any = catalog.get(RAW)
    if hasattr(dataset, "preview"):  # one row is enough; the file may exceed the memory
        raw = pd.DataFrame(**dataset.preview(nrows=1))
    else:
        raw = catalog.load(RAW)
    key = table.source(table.key)
    return not len(raw) or (key in raw and synthetic_rows.count(raw, key)[1] > 0)


def _is_real(catalog: CatalogProtocol[Any, Any], name: str, key: str) -> bool:
    """Tell whether a table has rows and none of them is synthetic, without its contract."""
    path = getattr(catalog.get(name), "_filepath", None)
    try:
        frame = lazily(pd.read_parquet(str(path)) if path else catalog.load(name))
        if key not in frame.collect_schema().names():
            return True
        rows, synthetic = synthetic_rows.count(frame.to_native(), key)
    except Exception:  # noqa: BLE001 - each engine has a type of its own
        return False  # a damaged table, or one of another contract, which has its own message
    return rows > 0 and not synthetic
