"""An endpoint in this process, with two versions."""

from collections.abc import Iterator

import pytest
from server.in_process import InProcess, deploy, started
from server.running import Store, describe


@pytest.fixture(scope="module")
def asked(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """An endpoint that serves the champion."""
    description = deploy(describe(tmp_path_factory.mktemp("asked")), registered)
    with started(description) as found:
        yield found
