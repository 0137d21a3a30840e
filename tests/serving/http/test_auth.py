"""Bearer tokens of an endpoint."""

import json
from pathlib import Path

from support.in_process import BODY, deploy, started
from support.running_server import Store, describe


def test_token_is_required_but_for_probes_and_docs(registered: Store, tmp_path: Path) -> None:
    configuration = deploy(describe(tmp_path), registered)
    with started(configuration, {"ann": "s3cret-of-ann", "bob": "s3cret-of-bob"}) as endpoint:
        for sent in (
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cret",
            "Basic s3cret-of-ann",
            "s3cret-of-ann",
        ):
            headers = {} if sent is None else {"authorization": sent}
            for answer in (
                endpoint.post(BODY, **headers),
                endpoint.get("/version", **headers),
                endpoint.get("/metrics", **headers),
                endpoint.get("/nothing", **headers),
                endpoint.request("POST", "/metrics", b"", headers),
                endpoint.post(BODY, "/serving-endpoints/other/invocations", **headers),
            ):
                assert answer.error[:2] == (401, "UNAUTHENTICATED")
                assert answer.headers["www-authenticate"] == "Bearer"
        for page in ("/ping", "/health", "/docs", "/openapi.json", "/docs/swagger-ui.css"):
            assert endpoint.get(page).status == 200
        assert endpoint.get("/version", authorization="bearer s3cret-of-bob").status == 200
        answer = endpoint.post(BODY, authorization="Bearer s3cret-of-bob")
        assert answer.status == 200
        assert endpoint.rows()[-1]["requester"] == "bob"
        assert endpoint.log_lines()[-1]["requester"] == "bob"
        paths = endpoint.get("/openapi.json").json["paths"]
        assert paths["/invocations"]["post"]["security"] == [{"token": []}]
        assert "security" not in paths["/ping"]["get"]
        written = json.dumps([endpoint.rows(), endpoint.log_lines()])
    for file in tmp_path.rglob("*"):
        written += file.read_text(errors="replace") if file.is_file() else ""
    assert "s3cret" not in written
