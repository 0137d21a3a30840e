"""The parent process: it keeps workers alive, watches the registry, fills the inference table."""

import logging
import os
import resource
import socket
from datetime import UTC, datetime
from functools import partial
from math import ceil
from threading import Event, Thread

from uvicorn import Config

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import ServerOptions, ServingConfiguration
from marvel_kedro.serving.inference_table.delta_writer import TableWriter
from marvel_kedro.serving.models import registry_watch
from marvel_kedro.serving.models.deployment import Deployment
from marvel_kedro.serving.processes.uvicorn_internals import (
    HttpProtocol,
    WorkerSupervisor,
    warn_of_unverified_versions,
)
from marvel_kedro.serving.processes.worker import create_app
from marvel_kedro.serving.telemetry import log_streams, metric_files, metrics

logger = logging.getLogger(__name__)

_WRITER_STOP_SECONDS = 30.0
_WATCH_STOP_SECONDS = 1.0  # the next start repeats a fetch that was cut off


class _Supervisor(WorkerSupervisor):
    """The supervisor, with metrics of the workers."""

    def worker_ended(self, pid: int) -> None:
        metric_files.release(pid)
        if not self.cannot_start:
            metrics.RESTARTS.inc()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        metrics.WORKERS.set(len(self.processes))
        metrics.LOG_LINES_DROPPED.inc(log_streams.take_dropped())


def listen(host: str, port: int) -> socket.socket:
    """Bind the address that all workers share; raise a ProjectError if it cannot be bound."""
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
    """Serve until a stop signal; raise a ProjectError if a worker cannot start.

    At the end, requests in progress are finished and the inference table is filled.
    """
    warn_of_unverified_versions()
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
        backlog=4096,
        timeout_keep_alive=75,  # seconds
        timeout_graceful_shutdown=ceil(server.grace_seconds),
    )
    stop = Event()
    supervisor = _Supervisor(config, [sock], server.grace_seconds)
    writer = _Writer(server, stop) if configuration.endpoint.inference_table.enabled else None
    watching = Thread(target=_watch, args=(configuration, stop, writer), daemon=True)
    threads = [writer, watching] if writer else [watching]
    for thread in threads:
        thread.start()
    try:
        supervisor.run()
    finally:
        stop.set()
        sock.close()
        if writer:
            writer.join(_WRITER_STOP_SECONDS)
            if not writer.is_alive():
                writer.close()
        watching.join(_WATCH_STOP_SECONDS)
    if supervisor.cannot_start:
        raise ProjectError("A worker cannot start; the lines above have the cause.")
    if any(thread.is_alive() for thread in threads):
        # A registry or disk that does not respond; Python would wait for MLflow's threads.
        logger.warning("The server stops without waiting for its threads; no data is lost.")
        log_streams.drain()
        os._exit(0)


class _Writer(Thread):
    """The thread that moves entries from the spool to the inference table."""

    def __init__(self, server: ServerOptions, stopping: Event) -> None:
        super().__init__(daemon=True)
        self._seconds = server.flush_seconds
        self._stopping = stopping  # `_stop` is a method of threads
        self.table = TableWriter(
            server.inference_table, server.spool, compact_files=server.compact_files
        )

    def run(self) -> None:
        while not self._stopping.wait(self._seconds):
            self._flush()

    def close(self) -> None:
        """Write the last entries after all workers have ended."""
        self._flush(now=True)
        self.table.close()

    def _flush(self, *, now: bool = False) -> None:
        metrics.LOGGED.inc(self.table.flush(now=now))
        metrics.LOG_FAILING.set(self.table.last_error is not None)


def _watch(configuration: ServingConfiguration, stop: Event, writer: _Writer | None) -> None:
    """Publish the versions to serve; workers report the versions that they have loaded."""
    server = configuration.server
    published: set[tuple[str, str, str]] = set()
    registry = registry_watch.Registry(configuration, server.models)

    def publish(deployment: Deployment) -> None:
        nonlocal published
        metrics.DEPLOYMENT_FAULTS.set(len(deployment.faults))
        if registry.answered is not None:
            metrics.REGISTRY_ANSWERED.set(registry.answered)
        versions = {(one.name, one.model, one.version) for one in deployment.entities}
        if writer is not None and versions != published:
            writer.table.note_served(deployment.served_rows(datetime.now(UTC)))
        published = versions

    if server.ask_registry:
        registry_watch.watch(registry, server.poll_seconds, stop, publish)
    elif (included := Deployment.read(server.models)) is not None:
        publish(included)
