"""The artefacts of a project that was copied or moved with its MLflow store.

MLflow stores the locations of artefacts as absolute addresses. In a copy of the project they name
the original's folder, where runs of the copy would write.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from marvel_kedro.core.errors import ProjectError

logger = logging.getLogger(__name__)

ARTIFACTS = "mlartifacts"
_WAIT_SECONDS = 60.0  # for another process that writes to the store
_LOCATIONS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
    "trace_tags": ["value"],
}
"""The columns of MLflow's tables with locations of artefacts."""


def database_path(uri: str) -> Path | None:
    """Return the file of an SQLite address; None for another kind of store."""
    if not uri.startswith("sqlite:///"):
        return None
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to import

    return Path(make_url(uri).database or "")


def relocate(uri: str) -> None:
    """Point a store that was copied or moved with its `mlartifacts` at that folder beside it.

    A location that does not end in `mlartifacts` was chosen by the user and stays.

    Raises:
        ProjectError: The store was copied without its artefacts.
    """
    database = database_path(uri)
    if database is None or not database.is_file() or not database.stat().st_size:
        return
    here = database.absolute().parent
    with closing(sqlite3.connect(database, timeout=_WAIT_SECONDS)) as connection:
        for origin in _origins(connection, here):
            _check_artifacts(origin, here)
            with connection:
                _replace_root(connection, origin, here)
            logger.warning(
                "This project was copied or moved from %s: the artefacts of its runs and models "
                "are now read from and written to %s.",
                origin,
                here / ARTIFACTS,
            )


def _origins(connection: sqlite3.Connection, here: Path) -> list[Path]:
    """Return the folders of other projects whose `mlartifacts` experiments write to."""
    if "experiments" not in _tables(connection):
        return []
    rows = connection.execute("SELECT DISTINCT artifact_location FROM experiments")
    files = (str(row[0]) for row in rows if str(row[0]).startswith("file:///"))
    found = [Path(unquote(urlsplit(file).path)) for file in files]
    folders = [path.parent for path in found if path.name == ARTIFACTS]
    others = (folder for folder in folders if folder.resolve() != here.resolve())
    return [folder for folder in others if not _is_shared(folder, here)]


def _is_shared(origin: Path, here: Path) -> bool:
    """Tell a folder of artefacts without a store, which was chosen, from that of a project."""
    return (
        (origin / ARTIFACTS).exists()
        and not (origin / "mlflow.db").exists()
        and not (here / ARTIFACTS).exists()
    )


def _check_artifacts(origin: Path, here: Path) -> None:
    if (origin / ARTIFACTS).exists() and not (here / ARTIFACTS).exists():
        raise ProjectError(
            f"This project is a copy of {origin} without {ARTIFACTS}, and its runs would write to "
            f"the original. Copy {origin / ARTIFACTS} to {here}, or move mlflow.db away to start "
            "with a new store."
        )


def _replace_root(connection: sqlite3.Connection, origin: Path, here: Path) -> None:
    roots = [(origin.as_uri(), here.as_uri()), (origin.as_posix(), here.as_posix())]
    for table in _tables(connection) & _LOCATIONS.keys():
        for column in _LOCATIONS[table]:
            for old, new in roots:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608
                    f"WHERE substr({column}, 1, ?) = ?",
                    (new, len(old) + 1, len(old) + 1, f"{old}/"),
                )


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
