"""One worker process."""

import os
from collections.abc import Awaitable, Callable
from typing import Any

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.telemetry import log_streams, metric_files


def create_app(configuration: ServingConfiguration) -> Callable[..., Awaitable[Any]]:
    """Create the application of this process."""
    stdout = log_streams.install()
    os.setpgid(0, 0)  # Ctrl-C reaches the parent only, which stops its workers
    # With several requests at a time, threads of one model wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    metric_files.claim()
    loaded_model.import_lightgbm()
    from marvel_kedro.serving.http.access_log import AccessLog  # noqa: PLC0415 - after the lines above
    from marvel_kedro.serving.http.app import Endpoint  # noqa: PLC0415
    from marvel_kedro.serving.http.auth import Tokens  # noqa: PLC0415

    return Endpoint(configuration, Tokens.from_environment(), AccessLog(stdout.write))
