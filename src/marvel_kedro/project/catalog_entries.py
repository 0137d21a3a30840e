"""Resolvers for one-line catalog entries of tables, which are the same in every environment."""

from typing import Any

from omegaconf import OmegaConf


def table(
    name: str, folder: str, contract: str, frame: str = "spark", layer: str = ""
) -> dict[str, Any]:
    """Fill in the global `table`: the catalog entry of a table.

    The entry `characters: ${table:characters, 03_primary, Characters}` of the base environment
    holds in every other environment.

    Args:
        name: The table.
        folder: Its folder below `data`.
        contract: The class of its contract in `table/contracts.py`.
        frame: `spark`, or `pandas` for a small result that nodes exchange as a pandas frame where
            the environment has Spark.
        layer: The layer in kedro-viz; by default the name of the folder without its number.
    """
    layer = layer or folder.partition("_")[2]
    return _entry("table", name=name, folder=folder, layer=layer, contract=contract, frame=frame)


def log_table(name: str, folder: str, schema: str) -> dict[str, Any]:
    """Fill in the global of a long table of `monitoring/tables.py`, updated by parts."""
    return _entry("log_table", name=name, folder=folder, schema=schema)


def metrics_table(name: str, folder: str, schema: str) -> dict[str, Any]:
    """Fill in the global of a short one, which nodes exchange as an Arrow table."""
    return _entry("metrics_table", name=name, folder=folder, schema=schema)


def _entry(template: str, **values: str) -> dict[str, Any]:
    found = OmegaConf.create({"entry": f"${{globals:{template}}}"})
    entry: dict[str, Any] = _fill(OmegaConf.to_container(found, resolve=True), values)["entry"]
    return entry


def _fill(entry: Any, values: dict[str, str]) -> Any:  # noqa: ANN401 - a piece of YAML
    if isinstance(entry, dict):
        return {key: _fill(value, values) for key, value in entry.items()}
    if isinstance(entry, list):
        return [_fill(value, values) for value in entry]
    if isinstance(entry, str):
        for name, value in values.items():
            entry = entry.replace(f"{{{name}}}", value)
    return entry
