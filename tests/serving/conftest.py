"""Endpoints with two versions, in this process and in processes of their own."""

from collections.abc import Iterator

import pandas as pd
import pytest
from support.running_server import Server, Store, describe, running
from support.table import TABLE

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_records

TOKEN = "token-of-ann"


@pytest.fixture(scope="session")
def served(
    registered: Store, tmp_path_factory: pytest.TempPathFactory, characters: pd.DataFrame
) -> Iterator[Server]:
    """A server of two processes that serves the champion to clients with a token."""
    # Fetched, so that both processes have a model before they accept requests.
    description = registered.fetch(describe(tmp_path_factory.mktemp("served"), workers=2))
    OnlineTableDataset(str(description.server.online_records)).save(
        publish_records(characters, TABLE)
    )
    with running(description, registered.uri, token=TOKEN, MARVEL_TOKENS=f"ann:{TOKEN}") as found:
        yield found
