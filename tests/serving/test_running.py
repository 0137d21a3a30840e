"""The server as a process: it answers, writes down what it has answered, and ends when told to."""

from pathlib import Path

from support.running_server import Store, describe, running


def test_it_answers_and_writes_down(tmp_path: Path, store: Store) -> None:
    with running(describe(tmp_path), store.uri) as server:
        answers = [server.invoke() for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200] * 5
        assert server.serves() == {"champion": "1"}
        assert len(server.workers) == 1
    server.check_rows([answer.headers["x-request-id"] for answer in answers])
    assert "Traceback" not in server.said
