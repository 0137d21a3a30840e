"""Kedro's project settings, with the resolvers of one-line catalog entries."""

import json
import os
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from kedro.framework.project import LOGGING
from kedro.utils import find_config_file
from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from marvel_kedro.core.atomic_files import write_files_atomically
from marvel_kedro.core.packaged import conf_source
from marvel_kedro.databricks.hooks import LakehouseHooks
from marvel_kedro.hooks import ProjectHooks
from marvel_kedro.project.config_loader import TABLE, ConfigLoader


def _table(
    name: str, folder: str, contract: str, frame: str = "spark", layer: str = ""
) -> dict[str, Any]:
    """Fill in the global `record_table`: the catalog entry of a table.

    The entry `records: ${table:records, 03_primary, Records}` of the base environment
    holds in every other environment.

    Args:
        name: The table.
        folder: Its folder below `data`.
        contract: The name of its contract in `table/contracts.py`.
        frame: `spark`, or `pandas` for a small result that nodes exchange as a pandas frame where
            the environment has Spark.
        layer: The layer in kedro-viz; by default the name of the folder without its number.
    """
    layer = layer or folder.partition("_")[2]
    return _entry(
        "record_table", name=name, folder=folder, layer=layer, contract=contract, frame=frame
    )


def _schema_table(
    template: str, name: str, folder: str, schema: str, layer: str = "monitoring"
) -> dict[str, Any]:
    """Fill in a global: the catalog entry of a table with a schema of `monitoring/tables.py`.

    The global is `log_table` for a long table that monitoring updates by parts, `metrics_table` for
    a short one that nodes exchange as an Arrow table.
    """
    return _entry(template, name=name, folder=folder, schema=schema, layer=layer)


def _entry(template: str, **values: str) -> dict[str, Any]:
    found = OmegaConf.create({"entry": f"${{globals:{template}}}"})
    text = json.dumps(OmegaConf.to_container(found, resolve=True))
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return json.loads(text)["entry"]


def _environment(name: str, *default: Any) -> Any:  # noqa: ANN401 - defaults of any type
    """Return a variable for `oc.env`, with `~` as the home folder as where a shell expands it."""
    value = oc.env(name, *default)
    if isinstance(value, str) and value.startswith("~"):
        return str(Path(value).expanduser())
    return value


def _log_in_other_folders() -> None:
    """Log as conf/logging.yml says where Kedro, in a subfolder of the project, does not find it."""
    if "KEDRO_LOGGING_CONFIG" not in os.environ and find_config_file("conf/logging") is None:
        LOGGING.configure(yaml.safe_load((conf_source() / "logging.yml").read_text("utf-8")))


_log_in_other_folders()

# Kedro calls the last hooks first: the Spark session starts before another hook needs a table.
HOOKS = (ProjectHooks(), LakehouseHooks())

# Read a description of some thousand columns: OmegaConf's limit is that of 10,000 nodes.
os.environ.setdefault("OMEGACONF_MAX_YAML_EXPANDED_NODES", "1000000")
# Runs send no telemetry, as .telemetry says; MLflow reads this variable alone.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Retry a server that fails during a run for half a minute, not for MLflow's four.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
# Retry a workspace for one minute, not for MLflow's eight; one attempt may take a minute.
os.environ.setdefault("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "60")

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_CLASS = ConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment contains the keys that differ, not whole sections.
    "merge_strategy": {"parameters": "soft"},
    # kedro-mlflow's patterns, which it adds only after our hook has read the address.
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"], TABLE: ["table.yml"]},
    "custom_resolvers": {
        "oc.env": _environment,
        "table": _table,
        "log_table": partial(_schema_table, "log_table"),
        "metrics_table": partial(_schema_table, "metrics_table"),
        "origin": dict,  # the hook replaces it; kedro-viz loads the project without hooks
        "utc_now": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    },
}

write_files_atomically()
