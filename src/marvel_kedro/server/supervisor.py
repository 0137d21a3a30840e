"""The parent of the workers: it keeps them alive, asks the registry and fills the table."""

import logging
import resource
import socket
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from marvel_kedro.errors import ProjectError
from marvel_kedro.server import metrics, registry
from marvel_kedro.server.deployment import Deployment
from marvel_kedro.server.description import Description
from marvel_kedro.server.inference_table import TableWriter
from marvel_kedro.server.state import SPOOL
from marvel_kedro.server.worker import Protocol, create_app

logger = logging.getLogger(__name__)

_BACKLOG = 4096
_KEEP_ALIVE_SECONDS = 75
_HEALTHCHECK_SECONDS = 30  # a worker that has no time for it is not dead


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which tells the metrics who died."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died."""
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        after = {process.pid for process in self.processes}
        for pid in before - after:
            logger.warning("The worker %s died and was replaced.", pid)
            metrics.RESTARTS.inc()
            metrics.forget_process(int(pid or 0))
        metrics.WORKERS.set(len(self.processes))


def listen(host: str, port: int) -> socket.socket:
    """Bind the address that all workers share.

    Raises:
        ProjectError: It is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise ProjectError(
            f"Cannot listen on {host}:{port} ({error}). Stop what does, or say another address: "
            "kedro serve --host .. --port .."
        ) from error
    found.set_inheritable(True)
    return found


def serve(description: Description, sock: socket.socket) -> None:
    """Serve until a signal says stop; then finish what has begun, and fill the table."""
    _allow_many_connections()
    server = description.server
    config = Config(
        partial(create_app, description),
        factory=True,
        workers=server.workers,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(server.grace_seconds)),
        timeout_worker_healthcheck=_HEALTHCHECK_SECONDS,
    )
    stop = threading.Event()
    supervisor = Supervisor(config, [sock])
    writer = _Writer(description, stop) if description.endpoint.inference_table.enabled else None
    threads = [threading.Thread(target=writer.run, name="inference-table")] if writer else []
    threads.append(threading.Thread(target=_watch, args=(description, stop, writer)))
    for thread in threads:
        thread.start()
    try:
        supervisor.run()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        if writer:
            writer.close()
        sock.close()


class _Writer:
    """The thread that moves the spool to the table."""

    def __init__(self, description: Description, stop: threading.Event) -> None:
        server = description.server
        self._seconds = server.flush_seconds
        self._endpoint = description.endpoint.name
        self._stop = stop
        self._table = TableWriter(
            server.inference_table, server.folder / SPOOL, compact_files=server.compact_files
        )

    def run(self) -> None:
        while not self._stop.wait(self._seconds):
            self._flush()

    def close(self) -> None:
        """After the last worker has gone."""
        self._flush(now=True)
        self._table.close()

    def note(self, deployment: Deployment) -> None:
        """Remember who is served."""
        self._table.note_served(deployment.served_rows(datetime.now(UTC)))

    def _flush(self, *, now: bool = False) -> None:
        rows = self._table.flush(now=now)
        metrics.LOGGED.inc(rows)
        metrics.LAG.set(self._table.lag_seconds)
        metrics.LOG_FAILING.set(self._table.last_error is not None)


def _watch(description: Description, stop: threading.Event, writer: _Writer | None) -> None:
    """Publish what is served, and count it."""
    server = description.server
    before: set[tuple[str, str, str]] = set()

    def seen(deployment: Deployment) -> None:
        now = {(one.name, one.model, one.version) for one in deployment.entities}
        for gone in before - now:
            metrics.SERVED.labels(*gone).set(0)
        for there in now:
            metrics.SERVED.labels(*there).set(1)
        for name, share in deployment.traffic.items():
            metrics.TRAFFIC.labels(name).set(share)
        metrics.DEPLOYMENT_FAULTS.set(len(deployment.faults))
        if writer is not None and now != before:
            writer.note(deployment)
        before.clear()
        before.update(now)

    if not server.ask_registry:
        baked = Deployment.read(server.models)
        if baked is not None:
            seen(baked)
        return
    asked = registry.Registry(description, server.models)
    registry.watch(asked, server.poll_seconds, stop, seen)


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def check_folder(folder: Path) -> None:
    """Make the server's folder.

    Raises:
        ProjectError: It cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ProjectError(
            f"{folder}: {error.strerror}. The server keeps there what is not yet in the inference "
            "table: say a folder that can be written to, as server.folder."
        ) from error
