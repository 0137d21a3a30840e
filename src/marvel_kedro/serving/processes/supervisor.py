"""The parent of the workers: it keeps them alive, asks the registry and fills the table."""

import logging
import os
import resource
import signal
import socket
import threading
import time
from datetime import UTC, datetime
from functools import partial

from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.inference_table.delta_writer import TableWriter
from marvel_kedro.serving.models import registry_watch
from marvel_kedro.serving.models.deployment import Deployment
from marvel_kedro.serving.processes.worker import Protocol, create_app
from marvel_kedro.serving.state_folder import SPOOL
from marvel_kedro.serving.telemetry import metric_files, metrics

logger = logging.getLogger(__name__)

_BACKLOG = 4096
_KEEP_ALIVE_SECONDS = 75
_HEALTHCHECK_SECONDS = 30  # a worker that has no time for it is not dead
_LEEWAY_SECONDS = 2.0  # for what a worker does after its last answer
_THREAD_SECONDS = 30.0
_ASKING_SECONDS = 1.0  # what is being fetched will be fetched at the next start


class Supervisor(Multiprocess):
    """uvicorn's supervisor, which no worker keeps waiting, and which tells the metrics who died."""

    def __init__(self, config: Config, sockets: list[socket.socket], grace: float) -> None:
        """What uvicorn's takes, and how long workers may take to end."""
        super().__init__(config, sockets)
        self.cannot_start = False
        self._grace = grace
        self._told_to_stop = 0
        self._asked: dict[int, float] = {}  # since when a worker owes an answer
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, *_: object) -> None:
        self._told_to_stop += 1
        self.should_exit.set()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died, or hang."""
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.process.is_alive() and self._answers(process):
                continue
            process.kill()
            process.join()
            pid = int(process.pid or 0)
            self._asked.pop(pid, None)
            metric_files.give_back(pid)
            if process.exitcode == STARTUP_FAILURE:
                self.cannot_start = True
                self.should_exit.set()
                return
            logger.warning(
                "The worker %s died (exit status %s) and was replaced.", pid, process.exitcode
            )
            metrics.RESTARTS.inc()
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()
        metrics.WORKERS.set(len(self.processes))

    def _answers(self, process: Process) -> bool:
        """Whether a worker has answered in time; uvicorn's own question waits for the answer."""
        pid, now = int(process.pid or 0), time.monotonic()
        try:
            if pid not in self._asked:
                process.parent_conn.send(b"ping")
                self._asked[pid] = now
            elif process.parent_conn.poll():
                process.parent_conn.recv()
                del self._asked[pid]
        except (OSError, EOFError):
            return False
        return now - self._asked.get(pid, now) < _HEALTHCHECK_SECONDS

    def terminate_all(self) -> None:
        """Tell the workers to end."""
        for sock in self.sockets:
            sock.close()  # else whoever comes now is let in, and waits for nobody
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers; a second signal and those that hang end it."""
        end = time.monotonic() + self._grace + _LEEWAY_SECONDS
        for process in self.processes:
            while process.process.is_alive():
                if time.monotonic() > end or self._told_to_stop > 1:
                    logger.warning("The worker %s did not end by itself.", process.pid)
                    process.process.kill()
                process.process.join(0.1)


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


def serve(description: ServingConfiguration, sock: socket.socket) -> None:
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
    )
    stop = threading.Event()
    supervisor = Supervisor(config, [sock], server.grace_seconds)
    writer = _Writer(description, stop) if description.endpoint.inference_table.enabled else None
    moving = threading.Thread(target=writer.run, daemon=True) if writer else None
    asking = threading.Thread(target=_watch, args=(description, stop, writer), daemon=True)
    for thread in filter(None, (moving, asking)):
        thread.start()
    try:
        supervisor.run()
    finally:
        stop.set()
        sock.close()
        if writer and moving:
            moving.join(_THREAD_SECONDS)
            if not moving.is_alive():
                writer.close()
        asking.join(_ASKING_SECONDS)
    if supervisor.cannot_start:
        raise ProjectError("A worker cannot start; the lines above say why.")
    if asking.is_alive() or (moving and moving.is_alive()):
        # Of a registry or a disk that does not answer; Python would wait for MLflow's threads.
        logger.warning("Something is waited for no longer; nothing is lost by it.")
        logging.shutdown()
        os._exit(0)


class _Writer:
    """The thread that moves the spool to the table."""

    def __init__(self, description: ServingConfiguration, stop: threading.Event) -> None:
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
        metrics.LOG_FAILING.set(self._table.last_error is not None)


def _watch(
    description: ServingConfiguration, stop: threading.Event, writer: _Writer | None
) -> None:
    """Publish what is to be served; what of it workers have loaded they count themselves."""
    server = description.server
    before: set[tuple[str, str, str]] = set()

    def seen(deployment: Deployment) -> None:
        now = {(one.name, one.model, one.version) for one in deployment.entities}
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
    asked = registry_watch.Registry(description, server.models)
    registry_watch.watch(asked, server.poll_seconds, stop, seen)


def _allow_many_connections() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
