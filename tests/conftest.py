"""Fixtures that several folders of tests share."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


def _shared(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the real rows are not here: {path}")
    return path


@pytest.fixture(scope="session")
def real_sample_path() -> Path:
    """1,998 real rows in the source's own columns."""
    return _shared("marvel_characters_sample.csv")


@pytest.fixture(scope="session")
def other_schema_path() -> Path:
    """A real file of the same wiki with other columns."""
    return _shared("marvel-wikia-data.csv")
