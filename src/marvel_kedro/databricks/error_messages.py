"""What Sail, Apache Spark and Databricks say when something fails, in words that help."""

import os
import re

from marvel_kedro.core.errors import without_password

# `_internal` is that of deltalake.
_ENGINES = {"pyspark", "py4j", "grpc", "deltalake", "_internal"}
_MOST_OF_AN_ANSWER = 400

# By a pattern of what an engine says; the first that is found counts.
_REMEDIES = {
    r"No space left|StorageFull|Disk quota": (
        "The disk of the tables is full. Free some space and run the same command again: tables "
        "are as they were before the step."
    ),
    r"Read-only file system|ReadOnlyFilesystem": (
        "The disk of the tables is read-only. Make it writable, or set MARVEL_WAREHOUSE to a "
        "folder that is, and run the same command again."
    ),
    r"Permission denied \(os error": (
        "Permission to the folder of the tables was denied. Grant it, or set MARVEL_WAREHOUSE to "
        "another, and run the same command again."
    ),
    r"Failed to commit transaction|Concurrent\w*Exception|DELTA_CONCURRENT|CommitFailed"
    r"|PROTOCOL_CHANGED|METADATA_CHANGED": (
        "Another job wrote the same table at the same time, and this one gave way. Run the same "
        "command again; a job on Databricks has max_concurrent_runs: 1 for this."
    ),
    r"Invalid JSON in log record|Cannot load table state|_delta_log/\d+\.json"
    r"|DELTA_STATE_RECOVER_ERROR|DELTA_TRUNCATED_TRANSACTION_LOG|DELTA_MISSING_TRANSACTION_LOG": (
        "The log of a table (_delta_log in its folder) is damaged. Bring its folder back from a "
        "copy, or move it away, and run the same command again: the table is made anew."
    ),
    r"Csv error|MALFORMED_(?:CSV_)?RECORD": (
        "The raw file (raw_characters) has rows with more or fewer cells than the header. Put "
        "cells that hold a comma in quotes, name every column in the header, or set load_args.sep "
        "of raw_characters if something else parts the cells (docs/own-data.md)."
    ),
    r"UNAUTHENTICATED|StatusCode\.PERMISSION_DENIED|[Ii]nvalid access token": (
        "The server that SPARK_REMOTE names does not accept who you are: the token is wrong or "
        "has expired. Put a new one into SPARK_REMOTE (;token=..)."
    ),
    r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|does not have (\w+ )+on": (
        "The rights to a table, a schema or a catalog are missing. Have them granted: USE CATALOG "
        "ON CATALOG; USE SCHEMA, SELECT, MODIFY and CREATE TABLE ON SCHEMA."
    ),
    r"StatusCode\.UNAVAILABLE|SESSION_CLOSED|SESSION_CHANGED|SESSION_NOT_FOUND|HANDLE_ABANDONED": (
        "The Spark server is gone. Start it, correct SPARK_REMOTE or unset it to use Sail, and run "
        "the same command again: tables are as they were before the step."
    ),
    r"CATALOG_NOT_FOUND|NO_SUCH_CATALOG": (
        "There is no such catalog, or nobody granted it to you. Correct MARVEL_CATALOG, or GRANT "
        "USE CATALOG ON CATALOG."
    ),
    r"SCHEMA_NOT_FOUND|NO_SUCH_SCHEMA|[Dd]atabase not found": (
        "There is no such schema, or nobody granted it to you. Correct MARVEL_SCHEMA, CREATE "
        "SCHEMA, or GRANT USE SCHEMA ON SCHEMA."
    ),
    r"Failed to fetch metadata for file|FAILED_READ_FILE|FILE_NOT_EXIST|DELTA_FILE_NOT_FOUND"
    r"|FileNotFound|File .* does not exist|Object at location .* not found": (
        "A file of a table is gone. Make the table again, from the step that makes it (kedro run "
        "--env lakehouse), or bring the file back."
    ),
    r"TABLE_OR_VIEW_NOT_FOUND|[Tt]able not found": (
        "A table is not there, or nobody granted it to you. Make it: kedro run --env lakehouse."
    ),
}


def of_engine(fault: BaseException) -> bool:
    """Whether an engine or its client raised it; nothing is imported for the question."""
    modules = {kind.__module__.partition(".")[0] for kind in type(fault).__mro__}
    return bool(modules & _ENGINES)


def explain(fault: BaseException) -> str:
    """Say what to do about a fault of an engine.

    Returns:
        The remedy if it is known, and what the engine says in any case, without secrets.
    """
    text = without_password(f"{type(fault).__name__}: {fault}")
    for token in re.findall(r"token=([^;]+)", os.environ.get("SPARK_REMOTE", "")):
        text = text.replace(token, "..")
    said = " ".join(text.partition("\n\tat ")[0].split())[:_MOST_OF_AN_ANSWER]
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, text):
            return f"{remedy}\nThe engine says: {said}"
    return f"The engine that holds the tables says: {said}\nkedro --verbose run shows where."
