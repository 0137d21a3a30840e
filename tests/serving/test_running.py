"""The server as a process: it answers, logs its answers, and ends on SIGTERM."""

from pathlib import Path

from support.running_server import Store, describe, running


def test_server_answers_and_logs_every_request(tmp_path: Path, store: Store) -> None:
    with running(describe(tmp_path), store.uri) as server:
        answers = [server.invoke() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert server.serves() == {"champion": "1"}
        assert len(server.workers) == 1
    server.check_rows([answer.headers["x-request-id"] for answer in answers])
    assert "Traceback" not in server.stderr
