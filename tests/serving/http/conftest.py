"""The application in the test's process."""

from collections.abc import Iterator

import pytest
from support.in_process import InProcess, deploy, started
from support.running_server import Store, describe


@pytest.fixture(scope="module")
def endpoint(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """An endpoint that serves the champion."""
    configuration = deploy(describe(tmp_path_factory.mktemp("endpoint")), registered)
    with started(configuration) as found:
        yield found
