"""Kedro's project settings."""

import os
from datetime import UTC, datetime

from omegaconf.resolvers import oc

from marvel_kedro.core.atomic_files import write_files_atomically
from marvel_kedro.databricks.hooks import LakehouseHooks
from marvel_kedro.hooks import ProjectHooks
from marvel_kedro.project import catalog_entries

# Kedro calls the last hooks first: the Spark session starts before another hook needs a table.
HOOKS = (ProjectHooks(), LakehouseHooks())

# Runs send no telemetry, as .telemetry says; MLflow reads this variable alone.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Retry a server that fails during a run for half a minute, not for MLflow's four.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
# Retry a workspace for one minute, not for MLflow's eight; one attempt may take a minute.
os.environ.setdefault("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "60")

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment contains the keys that differ, not whole sections.
    "merge_strategy": {"parameters": "soft"},
    # kedro-mlflow's patterns, which it adds only after our hook has read the address.
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "custom_resolvers": {
        "oc.env": oc.env,
        "table": catalog_entries.table,
        "log_table": catalog_entries.log_table,
        "metrics_table": catalog_entries.metrics_table,
        "origin": dict,  # the hook replaces it; kedro-viz loads the project without hooks
        "utc_now": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    },
}

write_files_atomically()
