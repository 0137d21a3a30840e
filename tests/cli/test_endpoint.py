"""`kedro endpoint` after a shift for other served entities."""

import json
from pathlib import Path

import mlflow
import pytest
from support.project import Project
from support.running_server import Store, describe, running

from marvel_kedro import cli
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving import traffic_shift
from marvel_kedro.serving.traffic_split import shift_shares

MODEL = "marvel_characters"
FOR_OTHERS = '{"champion": 90, "of_before": 10}'


@pytest.mark.parametrize("tag", [FOR_OTHERS, '{"champion": 90}', "{"])
def test_shift_and_reset_replace_an_invalid_traffic_tag(
    tag: str, store: Store, tmp_path: Path
) -> None:
    mlflow.set_tracking_uri(store.uri)
    options = describe(tmp_path, traffic={"champion": 100}).endpoint
    store.client().set_registered_model_tag(MODEL, "endpoint.marvel.traffic", tag)
    with pytest.raises(ProjectError, match=r"no traffic .* endpoint shift.* endpoint reset"):
        traffic_shift.current_shares(options)
    shares = traffic_shift.shares_to_shift(options)
    assert shares == {"champion": 100, "challenger": 0}
    traffic_shift.shift(options, shift_shares(shares, "champion", 100))
    assert traffic_shift.current_shares(options) == shares
    store.client().set_registered_model_tag(MODEL, "endpoint.marvel.traffic", tag)
    assert traffic_shift.reset(options) == {"champion": 100}
    assert traffic_shift.current_shares(options) == {"champion": 100}


def test_shift_command_replaces_the_tag_of_other_entities(watched: Project) -> None:
    client, tag = watched.client(), f"endpoint.{MODEL}.traffic"
    client.set_registered_model_tag(MODEL, tag, FOR_OTHERS)
    shifted = watched.kedro("endpoint", "shift", "champion", "100")
    assert shifted.status == 0, shifted.output
    found = client.get_registered_model(MODEL).tags[tag]
    assert json.loads(found) == {"champion": 100, "challenger": 0}


def test_show_finds_the_server_on_any_port(watched: Project, store: Store, tmp_path: Path) -> None:
    description = store.fetch(describe(tmp_path))
    server_here = description.server.model_copy(update={"folder": watched.path / "data" / "server"})
    description = description.model_copy(update={"server": server_here})
    with running(description, store.uri) as server:
        shown = watched.cli("show", command=cli.endpoint).output
        assert f"The server at {server.url} answers with champion 1." in shown
    assert "No server answers at" in watched.cli("show", command=cli.endpoint).output
