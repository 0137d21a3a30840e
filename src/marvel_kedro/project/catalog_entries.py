"""One short line a table in the catalog, whatever a table is in the environment."""

from typing import Any

from omegaconf import OmegaConf


def table(
    name: str, folder: str, contract: str, frame: str = "spark", layer: str = ""
) -> dict[str, Any]:
    """Make the catalog entry of a table: the global `table`, filled in.

    `characters: ${table:characters, 03_primary, Characters}` in the base environment is the entry
    of the same table in every other one.

    Args:
        name: The table.
        folder: Its folder below `data`.
        contract: The class of its contract in `schemas.py`.
        frame: `spark`, or `pandas` for a small result that nodes take and give in pandas, where
            the environment has Spark.
        layer: What kedro-viz shows it in; the folder without its number, if nothing is said.
    """
    words = {
        "name": name,
        "folder": folder,
        "layer": layer or folder.partition("_")[2],
        "contract": contract,
        "frame": frame,
    }
    return _filled("table", words)


def log_table(name: str, folder: str, schema: str) -> dict[str, Any]:
    """Make the entry of a long table that monitoring brings up to date: the global `log_table`.

    Args:
        name: The table.
        folder: Its folder below `data`.
        schema: Name of its Arrow schema in `monitoring/tables.py`.
    """
    return _filled("log_table", {"name": name, "folder": folder, "schema": schema})


def metrics_table(name: str, folder: str, schema: str) -> dict[str, Any]:
    """Make the entry of a short table, which nodes take and give as Arrow: `metrics_table`.

    Args:
        name: The table.
        folder: Its folder below `data`.
        schema: Name of its Arrow schema in `monitoring/tables.py`.
    """
    return _filled("metrics_table", {"name": name, "folder": folder, "schema": schema})


def _filled(template: str, words: dict[str, str]) -> dict[str, Any]:
    found = OmegaConf.create({"entry": f"${{globals:{template}}}"})
    entry: dict[str, Any] = _fill(OmegaConf.to_container(found, resolve=True), words)["entry"]
    return entry


def _fill(entry: Any, words: dict[str, str]) -> Any:  # noqa: ANN401 - a piece of YAML
    if isinstance(entry, dict):
        return {key: _fill(value, words) for key, value in entry.items()}
    if isinstance(entry, list):
        return [_fill(value, words) for value in entry]
    if isinstance(entry, str):
        for word, value in words.items():
            entry = entry.replace(f"{{{word}}}", value)
    return entry
