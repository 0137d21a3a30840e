"""Errors at the start of a server, and the secrecy of its tokens."""

import json
import os
import socket
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.running_server import Server, Store, describe, running, start, until

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.__main__ import check_access
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.auth import Tokens

SECRET = "a-token-that-stays-secret"
WRONG = "a-wrong-token-that-stays-secret"


def start_error(
    description: ServingConfiguration, store: Store, folder: Path, **environment: str
) -> str:
    """Return the message of a server that does not start."""
    server = start(description, store.uri, folder=folder, **environment)
    assert server.wait(30) == 1
    assert "Traceback" not in server.stderr
    return " ".join(server.stderr.split())


def test_start_reports_port_in_use(tmp_path: Path, store: Store) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = start_error(describe(tmp_path, port=port), store, tmp_path)
    assert message.startswith(f"Error: Cannot listen on 127.0.0.1:{port}")
    assert "--port" in message


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_start_refuses_an_open_address_without_tokens(
    host: str, tmp_path: Path, store: Store
) -> None:
    """Before it listens."""
    message = start_error(describe(tmp_path, host=host), store, tmp_path)
    assert message.startswith(f"Error: Anyone who reaches {host}")
    assert "MARVEL_TOKENS" in message
    assert "--allow-anonymous" in message


@pytest.mark.parametrize(
    ("address", "tokens", "is_allowed", "starts"),
    [
        ("10.0.0.1", {}, False, False),
        ("fe80::1", {}, False, False),
        ("10.0.0.1", {"MARVEL_TOKENS": "ann:x"}, False, True),
        ("10.0.0.1", {}, True, True),
        ("127.0.0.9", {}, False, True),
        ("::1", {}, False, True),
    ],
)
def test_open_address_needs_tokens_or_permission(
    address: str, tokens: dict[str, str], is_allowed: bool, starts: bool, tmp_path: Path
) -> None:
    server = describe(tmp_path, allow_anonymous=is_allowed).server
    with nullcontext() if starts else pytest.raises(ProjectError, match="MARVEL_TOKENS_FILE"):
        check_access(server, address, Tokens.from_environment(tokens))


def test_start_reports_unusable_folder(tmp_path: Path, store: Store) -> None:
    (tmp_path / "file").touch()
    message = start_error(describe(tmp_path / "file"), store, tmp_path)
    assert "file/server: Not a directory" in message
    assert "server.folder" in message


def test_start_reports_malformed_tokens_without_quoting_them(tmp_path: Path, store: Store) -> None:
    message = start_error(describe(tmp_path), store, tmp_path, MARVEL_TOKENS=f"ann:x,{SECRET}")
    assert "Token 2 of MARVEL_TOKENS" in message
    assert SECRET not in message
    message = start_error(
        describe(tmp_path), store, tmp_path, MARVEL_TOKENS_FILE=str(tmp_path / "no")
    )
    assert "MARVEL_TOKENS_FILE" in message


@pytest.mark.parametrize(("change", "message"), [
    (lambda read: read["server"].update(wrokers=2), "server.wrokers"),
    (lambda read: read["server"].pop("folder"), "server.folder"),
    (lambda read: read["endpoint"].update(traffic={"champion": 90}), "adds up to 90"),
    (lambda read: read["endpoint"]["limits"].update(held_bytes=9), "held_bytes (9) is less than"),
    (lambda read: read["server"].update(grace_seconds=30), "grace_seconds (30) is less than"),
])  # fmt: skip
def test_start_reports_invalid_configuration(
    change: Any, message: str, tmp_path: Path, store: Store
) -> None:
    read = describe(tmp_path).model_dump(mode="json")
    change(read)

    class Wrong(ServingConfiguration):
        def model_dump_json(self, **_: Any) -> str:
            return json.dumps(read)

    whole = start_error(Wrong(**describe(tmp_path).model_dump()), store, tmp_path)
    assert message in whole
    assert "described.json" in whole


def test_start_reports_folder_of_another_server(tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(tmp_path))
    with running(description, store.uri) as server:
        assert server.invoke().status_code == 200
        until(lambda: server.metric("marvel_requests_total") == 1)
        assert "Another server runs in" in start_error(description, store, tmp_path)
        assert (
            server.metric("marvel_requests_total") == 1
        )  # the counters of the first server are unchanged


def test_tokens_are_stored_nowhere(tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(tmp_path))
    tokens = f"ann:{SECRET},bob:other"
    with running(description, store.uri, token=SECRET, MARVEL_TOKENS=tokens) as server:
        assert server.invoke().status_code == 200
        for header in (f"Bearer {WRONG}", f"Basic {SECRET}", WRONG, "", f"Bearer {SECRET}x"):
            answer = server.ask(
                "/invocations", "POST", json={"inputs": []}, headers={"Authorization": header}
            )
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error_code"] == "UNAUTHENTICATED"
            for path in ("/metrics", "/version"):
                assert server.ask(path, headers={"Authorization": header}).status_code == 401
        until(lambda: server.metric("marvel_requests_total", code="401") == 5)
        spooled_and_shown = all_output(tmp_path, server) + server.ask("/metrics").content
    found = spooled_and_shown + all_output(tmp_path, server)
    for secret in (SECRET, WRONG):
        assert secret.encode() not in found
    assert b"ann" in found  # the names of clients are stored
    rows = server.rows()
    assert sorted(rows["status_code"]) == [200, *[401] * 5]
    assert rows["requester"].dropna().tolist() == ["ann"]


def all_output(folder: Path, server: Server) -> bytes:
    """Return all bytes that the server has written to files, standard output and error."""
    rows = server.rows().to_csv().encode()  # uncompressed, unlike the files
    return rows + b"".join(
        path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "store" not in path.parts and os.access(path, os.R_OK)
    )


@pytest.mark.parametrize("content", ["", "\n \n", " , "])
def test_empty_tokens_do_not_open_endpoint(tmp_path: Path, content: str) -> None:
    """A secret that is empty by mistake must not open the endpoint."""
    (tmp_path / "tokens").write_text(content.replace(",", "\n"))
    with pytest.raises(ProjectError, match="holds no token"):
        Tokens.from_environment({"MARVEL_TOKENS_FILE": str(tmp_path / "tokens")})
    with pytest.raises(ProjectError, match="holds no token"):
        Tokens.from_environment({"MARVEL_TOKENS": content or ","})
    assert not Tokens.from_environment({"MARVEL_TOKENS": ""}).digests
