"""The parent process: it keeps workers alive, watches the registry, fills the inference table."""

import logging
import os
import resource
import socket
import threading
from datetime import UTC, datetime
from functools import partial

from uvicorn import Config

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.inference_table.delta_writer import TableWriter
from marvel_kedro.serving.models import registry_watch
from marvel_kedro.serving.models.deployment import Deployment
from marvel_kedro.serving.processes.uvicorn_internals import HttpProtocol, WorkerSupervisor
from marvel_kedro.serving.processes.worker import create_app
from marvel_kedro.serving.telemetry import metric_files, metrics

logger = logging.getLogger(__name__)

_BACKLOG = 4096
_KEEP_ALIVE_SECONDS = 75
_WRITER_STOP_SECONDS = 30.0
_WATCH_STOP_SECONDS = 1.0  # the next start repeats a fetch that was cut off


class _Supervisor(WorkerSupervisor):
    """The supervisor, with metrics of the workers."""

    def worker_ended(self, pid: int) -> None:
        metric_files.release(pid)

    def worker_replaced(self) -> None:
        metrics.RESTARTS.inc()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        metrics.WORKERS.set(len(self.processes))


def listen(host: str, port: int) -> socket.socket:
    """Bind the address that all workers share.

    Raises:
        ProjectError: The address is in use, or not one of this machine.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise ProjectError(
            f"Cannot listen on {host}:{port} ({error}). Stop the program that uses it, or choose "
            "another address: kedro serve --host .. --port .."
        ) from error
    sock.set_inheritable(True)
    return sock


def serve(configuration: ServingConfiguration, sock: socket.socket) -> None:
    """Serve until a stop signal; then finish requests in progress and fill the inference table.

    Raises:
        ProjectError: A worker cannot start.
    """
    _, max_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max_files, max_files))  # one for each connection
    server = configuration.server
    config = Config(
        partial(create_app, configuration),
        factory=True,
        workers=server.workers,
        http=HttpProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(server.grace_seconds)),
    )
    stop = threading.Event()
    supervisor = _Supervisor(config, [sock], server.grace_seconds)
    writer = (
        _Writer(configuration, stop) if configuration.endpoint.inference_table.enabled else None
    )
    writing = threading.Thread(target=writer.run, daemon=True) if writer else None
    watching = threading.Thread(target=_watch, args=(configuration, stop, writer), daemon=True)
    for thread in filter(None, (writing, watching)):
        thread.start()
    try:
        supervisor.run()
    finally:
        stop.set()
        sock.close()
        if writer and writing:
            writing.join(_WRITER_STOP_SECONDS)
            if not writing.is_alive():
                writer.close()
        watching.join(_WATCH_STOP_SECONDS)
    if supervisor.cannot_start:
        raise ProjectError("A worker cannot start; the lines above have the cause.")
    if watching.is_alive() or (writing and writing.is_alive()):
        # A registry or disk that does not respond; Python would wait for MLflow's threads.
        logger.warning("The server stops without waiting for its threads; no data is lost.")
        logging.shutdown()
        os._exit(0)


class _Writer:
    """The thread that moves entries from the spool to the inference table."""

    def __init__(self, configuration: ServingConfiguration, stop: threading.Event) -> None:
        server = configuration.server
        self._seconds = server.flush_seconds
        self._stop = stop
        self._table = TableWriter(
            server.inference_table, server.spool, compact_files=server.compact_files
        )

    def run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._flush()

    def close(self) -> None:
        """Write the last entries after all workers have ended."""
        self._flush(now=True)
        self._table.close()

    def write_served(self, deployment: Deployment) -> None:
        self._table.note_served(deployment.served_rows(datetime.now(UTC)))

    def _flush(self, *, now: bool = False) -> None:
        rows = self._table.flush(now=now)
        metrics.LOGGED.inc(rows)
        metrics.LOG_FAILING.set(self._table.last_error is not None)


def _watch(
    configuration: ServingConfiguration, stop: threading.Event, writer: _Writer | None
) -> None:
    """Publish the versions to serve; workers report the versions that they have loaded."""
    server = configuration.server
    published: set[tuple[str, str, str]] = set()

    def publish(deployment: Deployment) -> None:
        nonlocal published
        metrics.DEPLOYMENT_FAULTS.set(len(deployment.faults))
        versions = {(one.name, one.model, one.version) for one in deployment.entities}
        if writer is not None and versions != published:
            writer.write_served(deployment)
        published = versions

    if server.ask_registry:
        registry = registry_watch.Registry(configuration, server.models)
        registry_watch.watch(registry, server.poll_seconds, stop, publish)
    elif (included := Deployment.read(server.models)) is not None:
        publish(included)
