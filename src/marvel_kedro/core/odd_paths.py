"""Refuse folders whose names the libraries read as other folders, where they would write."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from marvel_kedro.core.errors import ProjectError

# Escapes are decoded by SQLAlchemy 2.1, MLflow and deltalake 1.6, which fails at the others.
_DELTA = re.compile(r"%[0-9a-fA-F]{2}|[\\^|\[\]\x00-\x1f\x7f]")
_MISREAD = re.compile(rf"{_DELTA.pattern}|[{{}}?]")  # patterns of Kedro, options of SQLite
_SAIL_KEEPS = "/;'+@=,:&()$!~^|"


def check_project(folder: Path) -> None:
    """Raise a `ProjectError` for a project's folder that Kedro or MLflow would misread."""
    _refuse(_MISREAD.search(str(folder)), folder)


def check_delta(folder: Path) -> None:
    """Raise a `ProjectError` for a folder of a Delta table that `deltalake` would misread."""
    _refuse(_DELTA.search(str(folder)), folder)


def check_sail(folder: Path) -> None:
    """Raise a `ProjectError` for a folder beside which Sail 0.7 would make another one."""
    if quote(str(folder), safe=_SAIL_KEEPS) != str(folder):
        raise ProjectError(
            f"Sail cannot have tables in {folder}: it would write to {quote(str(folder))}. Set "
            "MARVEL_WAREHOUSE to a folder whose path is ASCII without spaces, such as /tmp/tables."
        )


def check_entry(name: str, entry: Any) -> None:  # noqa: ANN401 - a part of a catalog entry
    """Raise a `ProjectError` for a path from `~`, which Kedro takes for a folder of that name."""
    for key, value in entry.items() if isinstance(entry, dict) else ():
        check_entry(name, value)
        if key in ("filepath", "path") and "~" in Path(str(value)).parts:
            raise ProjectError(
                f"The catalog entry {name} has {value}: Kedro takes ~ for a folder of that name in "
                "the project. Write the whole path."
            )


def _refuse(found: re.Match[str] | None, folder: Path) -> None:
    if found:
        raise ProjectError(
            f"The folder {str(folder)!r} has {found[0]!r} in its path, which Kedro, MLflow and "
            "Delta Lake take for something else or refuse. Rename it."
        )
