"""Messages for errors of Sail, Apache Spark and Databricks, each with its remedy."""

import os
import re

from marvel_kedro.core.errors import RemoteFailure, without_password

# `_internal` is the module of deltalake.
_ENGINES = {"pyspark", "py4j", "grpc", "deltalake", "_internal"}
_MAX_ENGINE_TEXT = 400

WORKSPACE_REMEDIES: dict[RemoteFailure | None, str] = {
    "token": "The token has expired or is not of this workspace. Make a new one in its settings "
    "(Developer, Access tokens) and set DATABRICKS_HOST and DATABRICKS_TOKEN, or log in: "
    "databricks auth login.",
    "privilege": "Have it granted by an owner. Models need USE CATALOG and USE SCHEMA, and "
    "CREATE MODEL ON SCHEMA to register, EXECUTE ON MODEL to load.",
    "busy": "The workspace is busy, broken or out of reach. Run the same command again later; if "
    "it stays so, look at DATABRICKS_HOST and at the workspace's status page.",
    None: "Look at DATABRICKS_HOST, and whether the catalog, the schema and the model are there.",
}
"""Remedies for what a workspace refuses, by the kind of failure."""

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
        "The log of a table (_delta_log in its folder) is damaged. Restore its folder from a "
        "copy, or move it away, and run the same command again: the table is made again."
    ),
    r"Csv error|MALFORMED_(?:CSV_)?RECORD": (
        "The raw file (raw_table) has rows with more or fewer cells than the header. Put "
        "cells that hold a comma in quotes, name every column in the header, or set `read: "
        "{separator: ..}` in table.yml if another character separates the cells (docs/own-data.md)."
    ),
    r"UNAUTHENTICATED|StatusCode\.PERMISSION_DENIED|[Ii]nvalid access token": (
        "The server that SPARK_REMOTE names rejects the login: the token is wrong or has "
        "expired. Put a new one into SPARK_REMOTE (;token=..)."
    ),
    r"PERMISSION_DENIED|INSUFFICIENT_PERMISSIONS|does not have (\w+ )+on": (
        "Privileges on a table, a schema or a catalog are missing. Have them granted: USE CATALOG "
        "ON CATALOG; USE SCHEMA, SELECT, MODIFY and CREATE TABLE ON SCHEMA."
    ),
    r"StatusCode\.UNAVAILABLE|SESSION_CLOSED|SESSION_CHANGED|SESSION_NOT_FOUND|HANDLE_ABANDONED": (
        "The Spark server is gone. Start it, correct SPARK_REMOTE or unset it to use Sail, and run "
        "the same command again: tables are as they were before the step."
    ),
    r"CATALOG_NOT_FOUND|NO_SUCH_CATALOG": (
        "There is no such catalog, or you have no privilege on it. Correct MARVEL_CATALOG, or "
        "GRANT USE CATALOG ON CATALOG."
    ),
    r"SCHEMA_NOT_FOUND|NO_SUCH_SCHEMA|[Dd]atabase not found": (
        "There is no such schema, or you have no privilege on it. Correct MARVEL_SCHEMA, CREATE "
        "SCHEMA, or GRANT USE SCHEMA ON SCHEMA."
    ),
    r"Failed to fetch metadata for file|FAILED_READ_FILE|FILE_NOT_EXIST|DELTA_FILE_NOT_FOUND"
    r"|FileNotFound|File .* does not exist|Object at location .* not found": (
        "A file of a table is gone. Make the table again, from the step that makes it (kedro run "
        "--env lakehouse), or restore the file."
    ),
    r"TABLE_OR_VIEW_NOT_FOUND|[Tt]able not found": (
        "A table is not there, or you have no privilege on it. Make it: kedro run --env lakehouse."
    ),
}
"""Remedies by a pattern of an engine's text; the first pattern that is found counts."""


def is_engine_error(error: BaseException) -> bool:
    """Tell whether an engine or its client raised an error, without importing any of them."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & _ENGINES)


def engine_message(error: BaseException) -> str:
    """Return the remedy for an engine's error, if it is known, and the engine's text."""
    text = without_password(f"{type(error).__name__}: {error}")
    for token in re.findall(r"token=([^;]+)", os.environ.get("SPARK_REMOTE", "")):
        text = text.replace(token, "..")
    answer = " ".join(text.partition("\n\tat ")[0].split())[:_MAX_ENGINE_TEXT]
    for pattern, remedy in _REMEDIES.items():
        if re.search(pattern, text):
            return f"{remedy}\nThe engine says: {answer}"
    return f"The engine that holds the tables says: {answer}\nkedro run --verbose shows where."
