"""Kedro's project settings."""

import os
from datetime import UTC, datetime

from omegaconf.resolvers import oc

from marvel_kedro.core.atomic_files import write_files_atomically
from marvel_kedro.databricks.hooks import LakehouseHooks
from marvel_kedro.hooks import ProjectHooks
from marvel_kedro.project import catalog_entries

# The last one's hooks are called first: the session is there before anything asks for a table.
HOOKS = (ProjectHooks(), LakehouseHooks())

# Nobody is told of a run, as .telemetry says; MLflow asks this variable alone.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server that dies during a run is asked again for half a minute, instead of for four.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "4")
# Likewise a workspace, which MLflow would ask for eight minutes; one try may take a minute.
os.environ.setdefault("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "60")

DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)

CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "local",
    # An environment states the keys that differ, not whole sections.
    "merge_strategy": {"parameters": "soft"},
    # As kedro-mlflow has them; it would add them only after our hook has read the address.
    "config_patterns": {"mlflow": ["mlflow*", "mlflow*/**", "**/mlflow*"]},
    "custom_resolvers": {
        "oc.env": oc.env,
        "table": catalog_entries.table,
        "log_table": catalog_entries.log_table,
        "metrics_table": catalog_entries.metrics_table,
        "origin": dict,  # the hook knows it; kedro-viz loads the project without hooks
        "utc_now": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
    },
}

write_files_atomically()
