"""A spool and its table."""

from pathlib import Path

import pytest
from support.spool_to_table import Server


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)
