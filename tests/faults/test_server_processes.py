"""Workers and supervisors that are killed, hang, or are stopped under load."""

import os
import signal
import socket
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from support.running_server import (
    MODEL,
    Load,
    Server,
    Store,
    describe,
    ready,
    running,
    start,
    until,
)

pytestmark = pytest.mark.fault


def has_more_than(load: Load, answers: int) -> bool:
    return len(load.answers) > answers


def has_lost(server: Server, worker: int) -> bool:
    return worker not in server.workers


def listens(server: Server) -> bool:
    return " at http://" in server.stderr


def test_killed_worker_is_replaced_and_loses_no_answered_request(
    tmp_path: Path, store: Store
) -> None:
    description = store.fetch(describe(tmp_path, workers=2, flush_seconds=0.2))
    with running(description, store.uri) as server:
        with Load(server) as load:
            for number in range(2):
                before = len(load.answers)
                until(partial(has_more_than, load, before + 100))
                time.sleep(0.3)
                killed = server.workers[number]
                os.kill(killed, signal.SIGKILL)
                until(partial(has_lost, server, killed), 10)
                until(lambda: len(server.workers) == 2, 10)
        assert {answer.status for answer in load.answers} == {200}
        assert len(load.failures) <= 8  # requests in progress in a killed worker: one a connection
        until(lambda: server.metric("marvel_worker_restarts_total") == 2)
        # Counts are published several times a second.
        until(lambda: server.metric("marvel_inference_log_rows_total") >= len(load.answers))
        until(lambda: server.metric("marvel_inference_log_lag_seconds") == 0)
        # All requests of killed workers count but those of their last fifth of a second.
        moments = sorted(time for time, _ in load.failures)
        last = sum(any(0 < gone - answer.time < 0.4 for gone in moments) for answer in load.answers)
        until(lambda: server.metric("marvel_requests_total") >= len(load.answers) - last, 10)
        until(lambda: server.metric("marvel_requests_in_progress") == 0, 10)
        until(lambda: server.metric("marvel_workers") == 2, 10)
        time.sleep(0.5)  # counts that are too high would show by now
        assert server.metric("marvel_requests_total") <= len(load.answers)
        in_table = server.metric("marvel_inference_log_rows_total")
        # An entry is written before its answer, which may be missing.
        assert len(load.answers) <= in_table <= len(load.answers) + len(load.failures)
    server.check_rows([answer.request_id for answer in load.answers])
    with running(description, store.uri) as server:
        more = [server.invoke().headers["x-request-id"] for _ in range(3)]
    server.check_rows([answer.request_id for answer in load.answers] + more)
    assert "Traceback" not in server.stderr


def test_workers_end_when_the_supervisor_is_killed_and_the_next_start_fills_the_table(
    tmp_path: Path, store: Store
) -> None:
    # Nothing reaches the table before the supervisor is killed.
    description = store.fetch(describe(tmp_path, workers=2, flush_seconds=60))
    server = start(description, store.uri)
    until(lambda: " at http://" in server.stderr)
    until(lambda: ready(server))
    workers, port = server.workers, server.port
    with Load(server, clients=2) as load:
        until(lambda: len(load.answers) > 200)
        server.process.kill()
        server.wait()
        until(lambda: not any(map(psutil.pid_exists, workers)), 15)
    assert "Traceback" not in server.stderr
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
    assert server.rows().empty
    with running(description, store.uri) as again:
        assert again.serves() == {"champion": "1"}
    again.check_rows([answer.request_id for answer in load.answers])


def test_stop_under_load_answers_every_accepted_request(tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(tmp_path, workers=2))
    with running(description, store.uri) as server:
        with Load(server, clients=6, pause=0) as load:
            until(lambda: len(load.answers) > 300)
            stopped = time.time()
            assert server.stop(seconds=10) == 0
        # Only new connections fail, after the socket is closed or at that moment.
        assert load.broken == 0
        assert {type(error) for _, error in load.failures} <= {
            ConnectionRefusedError, ConnectionResetError
        }  # fmt: skip
        assert sum(isinstance(error, ConnectionResetError) for _, error in load.failures) <= 6
        assert {answer.status for answer in load.answers} == {200}
        assert max(answer.time for answer in load.answers) > stopped
    server.check_rows([answer.request_id for answer in load.answers])
    assert "Traceback" not in server.stderr
    assert "ERROR" not in server.stderr.upper()


def test_stop_kills_a_worker_that_hangs(tmp_path: Path, store: Store) -> None:
    limits = {"seconds": 1}
    description = store.fetch(describe(tmp_path, workers=2, limits=limits, grace_seconds=1))
    with running(description, store.uri) as server:
        answered = [server.invoke().headers["x-request-id"] for _ in range(20)]
        os.kill(server.workers[0], signal.SIGSTOP)
        assert server.stop(seconds=15) == 0
        assert "did not end by itself" in server.stderr
    server.check_rows(answered)


def test_stop_during_the_start_ends_the_server(tmp_path: Path, store: Store) -> None:
    """A thread imports MLflow at that time."""
    for after in (0.0, 1.0):
        server = start(store.fetch(describe(tmp_path)), store.uri)
        until(partial(listens, server), every=0.01)
        time.sleep(after)
        began = time.monotonic()
        status = server.stop(seconds=10)
        # Without the handler, which is not there yet, the signal kills the process.
        assert status in (0, -signal.SIGTERM), server.stderr
        assert time.monotonic() - began < 8
        assert "Traceback" not in server.stderr


def test_server_is_ready_when_all_workers_have_a_model(tmp_path: Path, store: Store) -> None:
    """At a first start workers load the model while they answer, one sooner than the other."""
    store.client().delete_registered_model_alias(MODEL, "champion")
    with running(describe(tmp_path, workers=2), store.uri, wait=False) as server:
        until(lambda: server.ask("/health").json()["faults"])
        slow, _ = until(lambda: server.workers if len(server.workers) == 2 else None)
        os.kill(slow, signal.SIGSTOP)
        try:
            store.point("champion", "1")
            until(lambda: server.invoke().status_code == 200, 20)
            for _ in range(5):
                answer = server.ask("/health")
                assert (answer.status_code, answer.json()["ready"]) == (503, False)
                assert answer.json()["faults"].startswith("1 of 2 workers have a model.")
            assert server.metric("marvel_workers_ready") == 1
        finally:
            os.kill(slow, signal.SIGCONT)
        until(lambda: ready(server), 20)
        answers = [server.invoke().status_code for _ in range(40)]
        assert set(answers) == {200}
        killed = server.workers[0]
        os.kill(killed, signal.SIGKILL)
        until(partial(has_lost, server, killed), 10)
        for _ in range(20):  # the other worker answers, then also the new one
            assert ready(server)
            time.sleep(0.1)
        until(lambda: server.metric("marvel_workers_ready") == 2, 10)
        for worker in (killed_too := set(server.workers)):
            os.kill(worker, signal.SIGKILL)
        slow, _ = until(lambda: len(new := set(server.workers) - killed_too) == 2 and new, 10)
        os.kill(slow, signal.SIGSTOP)
        try:  # only one worker is there, which takes the place of another
            assert until(lambda: server.ask("/health", timeout=2), 20).status_code == 200
        finally:
            os.kill(slow, signal.SIGCONT)
        assert "Traceback" not in server.stderr


def test_lag_metric_grows_while_the_supervisor_hangs(tmp_path: Path, store: Store) -> None:
    """Its workers measure the lag."""
    with running(store.fetch(describe(tmp_path)), store.uri) as server:
        until(lambda: server.metric("marvel_workers"))
        os.kill(server.process.pid, signal.SIGSTOP)
        try:
            assert server.invoke().status_code == 200
            until(lambda: server.metric("marvel_inference_log_lag_seconds") > 1.5, 20)
        finally:
            os.kill(server.process.pid, signal.SIGCONT)
        until(lambda: server.metric("marvel_inference_log_lag_seconds") == 0, 20)


def test_second_ctrl_c_stops_the_server_without_losing_rows(tmp_path: Path, store: Store) -> None:
    """Ctrl-C in a terminal reaches all processes."""
    with running(store.fetch(describe(tmp_path, workers=2)), store.uri) as server:
        answered = [server.invoke().headers["x-request-id"] for _ in range(20)]
        os.killpg(server.process.pid, signal.SIGINT)
        time.sleep(0.2)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.wait(10) == 0
    server.check_rows(answered)
    assert "Traceback" not in server.stderr
