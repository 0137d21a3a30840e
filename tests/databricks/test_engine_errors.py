"""Messages for errors of engines."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kedro.io import DatasetError
from pyspark.errors import AnalysisException, PySparkException

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import tables
from marvel_kedro.project.error_messages import explain

SAVING = (
    "Failed while saving data to dataset ManagedTableDataset(catalog='mlops_dev', "
    "database='marvel_characters', table='train_set', write_mode='overwrite')."
)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("[PERMISSION_DENIED] User does not have MODIFY on Table 'a.b.c'.", "Have them granted"),
        ("[INSUFFICIENT_PERMISSIONS] Insufficient privileges", "Have them granted"),
        ("[TABLE_OR_VIEW_NOT_FOUND] The table or view `a`.`b`.`c` cannot be found", "is not there"),
        ("[SCHEMA_NOT_FOUND] The schema `a`.`b` cannot be found.", "no such schema"),
        ("[NO_SUCH_CATALOG_EXCEPTION] Catalog 'a' was not found.", "no such catalog"),
        ("[DELTA_CONCURRENT_WRITE] ConcurrentWriteException: ..", "Run the same command again"),
        ("io.delta.exceptions.ConcurrentAppendException: Files were added", "max_concurrent_runs"),
        ("Failed to commit transaction: 0", "max_concurrent_runs"),
        (
            "[FAILED_READ_FILE.NO_HINT] w/_delta_log/00000000000000000000.json MALFORMED_RECORD",
            "The log of a table",
        ),
        ("[FAILED_READ_FILE.NO_HINT] raw.csv MALFORMED_RECORD_IN_PARSING", "The raw file"),
        ("[SESSION_CLOSED] The session is closed", "The Spark server is gone"),
        ("[SOMETHING_NEW] Odd", "The engine that holds the tables says: AnalysisException: [SOME"),
    ],
)
def test_engine_error_gets_its_remedy_and_table(text: str, remedy: str) -> None:
    error = DatasetError(SAVING)
    error.__cause__ = AnalysisException(text)
    message = str(explain(error))
    assert message.startswith("While saving train_set: ")
    assert remedy in message
    assert text.split("]", maxsplit=1)[0] in message


def test_engine_message_hides_the_token_of_spark_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARK_REMOTE", "sc://host:443/;token=hush-hush;use_ssl=true")
    message = str(explain(PySparkException("Invalid access token hush-hush: UNAUTHENTICATED")))
    assert "has expired" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    "text",
    [
        "[NO_SUCH_CATALOG_EXCEPTION] Catalog 'mlops_dev' was not found.",
        "[INSUFFICIENT_PERMISSIONS] User does not have USE CATALOG on Catalog 'mlops_dev'.",
        None,
    ],
)
def test_attach_reports_a_schema_that_is_missing_or_not_granted(text: str | None) -> None:
    """The texts are from Databricks' documentation; no workspace was available."""

    def exists(_: str) -> bool:
        if text:
            raise AnalysisException(text)
        return False

    spark: Any = SimpleNamespace(catalog=SimpleNamespace(databaseExists=exists))
    place = tables.Place("mlops_dev", "marvel_characters", Path(), frozenset())
    with pytest.raises(ProjectError, match="no schema marvel_characters in the catalog mlops_dev"):
        tables.attach(spark, place)
