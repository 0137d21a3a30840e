"""Score a table where it is: in this process or on the workers of Spark."""

import io
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.model.isolation import load_isolated
from marvel_kedro.model.packaging import conform
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.frames import AnyFrame, lazily, to_pandas

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

COLUMNS = ["prediction", "probability", "model_name", "model_version", "scored_at"]
BATCH_ROWS = 50_000


def score(table: IntoFrame, key: str, model: RegisteredModel, scored_at: datetime) -> AnyFrame:
    """Score every row of a table with a key and the columns of the model's input.

    Other columns are ignored.

    Returns:
        The key and `COLUMNS`, one row per row of the table: a lazy Spark frame for a Spark frame, a
        pandas frame for any other.
    """
    if lazily(table).implementation.is_spark_like():
        return _on_workers(table, key, model, scored_at)
    records = to_pandas(table, key)
    return model.predict(records).assign(
        **{key: records[key]},
        model_name=model.name,
        model_version=model.version,
        scored_at=pd.Timestamp(scored_at).tz_convert("UTC").as_unit("us"),
    )[[key, *COLUMNS]]


def _on_workers(
    table: AnyFrame, key: str, model: RegisteredModel, scored_at: datetime
) -> "DataFrame":
    """Send the model with the query: workers need neither a registry nor files of the driver."""
    from pyspark.sql import functions as sql  # noqa: PLC0415 - only where Spark is used

    names = model.pyfunc.metadata.get_input_schema().input_names()
    inputs = [name for name in names if name in table.columns]
    packed = pack(model.folder)
    # Functions of this module are pickled by reference: a worker's own module keeps its models.
    scored = table.select(key, *inputs).mapInPandas(
        lambda batches: (score_records(records, key, packed) for records in larger(batches)),
        f"`{key}` string, prediction string, probability double",
    )
    return scored.withColumns(
        {
            "model_name": sql.lit(model.name),
            "model_version": sql.lit(model.version),
            "scored_at": sql.lit(scored_at),
        }
    )


def pack(folder: Path) -> bytes:
    """Pack a folder into one archive; equal files give equal bytes."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for path in sorted(filter(Path.is_file, folder.rglob("*"))):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return archive.getvalue()


def larger(batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Join the small batches of an engine, because each call of the model has a fixed cost."""
    waiting: list[pd.DataFrame] = []
    for records in batches:
        waiting.append(records)
        if sum(map(len, waiting)) >= BATCH_ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting = []
    if waiting:
        yield pd.concat(waiting, ignore_index=True)


def score_records(records: pd.DataFrame, key: str, packed: bytes) -> pd.DataFrame:
    """Score one batch on a worker."""
    model = _load(packed)
    inputs = conform(records, model.metadata.get_input_schema())
    # As objects: joined text columns are chunked, which engines reject.
    scored = model.predict(inputs).assign(**{key: records[key].astype(object)})
    return scored[[key, *COLUMNS[:2]]]


@cache  # a worker loads each model once
def _load(packed: bytes) -> Any:  # noqa: ANN401 - a model of MLflow
    files = tempfile.TemporaryDirectory()
    zipfile.ZipFile(io.BytesIO(packed)).extractall(files.name)
    model = load_isolated(Path(files.name))
    if "model_digest" in (model.metadata.metadata or {}):  # this project's is complete in memory
        files.cleanup()
    else:
        model.files = files  # stay with the model
    return model
