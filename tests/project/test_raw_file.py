"""Synthetic rows never replace what was made from a real file."""

from pathlib import Path

import pandas as pd
import pytest
from support.project import Project

from marvel_kedro.table.synthetic_rows import KEY_PREFIX


@pytest.fixture
def real(project: Project, synthetic_path: Path) -> Project:
    """A project with a raw file that does not look synthetic."""
    rows = pd.read_csv(synthetic_path, dtype="str", keep_default_na=False, nrows=300)
    rows["PageID"] = rows["PageID"].str.removeprefix(KEY_PREFIX)
    rows.to_csv(project.raw, index=False)
    return project


@pytest.mark.parametrize("env", ["base", "lakehouse"])
def test_run_without_the_raw_file_keeps_real_tables(env: str, real: Project) -> None:
    processed = real.cli("--env", env, "--pipelines", "processing")
    assert processed.status == 0, processed.output
    table = real.table if env == "base" else real.delta
    before = table("records")
    away = real.raw.rename(real.path / "away.csv")

    for made, words in ((False, "raw file is missing"), (True, "raw file is synthetic")):
        if made:
            assert real.cli("--pipelines", "synthetic").status == 0
        outcome = real.cli("--env", env)
        assert outcome.status == 1
        assert outcome.output.count("Error:") == 1
        assert words in outcome.output
        assert "records, train_set, test_set come from a real one" in outcome.output
        assert str(real.raw) in outcome.output.replace("\n", "")
        assert real.raw.exists() == made
        pd.testing.assert_frame_equal(table("records"), before)
        assert not real.client().search_registered_models()
    away.rename(real.raw)
    assert real.cli("--env", env, "--pipelines", "processing").status == 0


def test_synthetic_rows_join_no_real_champion(watched: Project) -> None:
    champion = watched.champion()
    client = watched.client()
    client.set_model_version_tag(champion.name, champion.version, "data_source", "file")
    for path in watched.path.glob("data/0[35]*/*.parquet"):
        path.unlink()
    words = "champion, version 1 of the model 'marvel_characters', was trained on a real one"
    for pipelines in ("processing", "__default__"):
        outcome = watched.cli("--pipelines", pipelines)
        assert outcome.status == 1
        assert f"The raw file is synthetic, and the {words}" in outcome.output
    watched.raw.unlink()
    outcome = watched.cli()
    assert outcome.status == 1
    assert f"The raw file is missing, and the {words}" in outcome.output
    assert not watched.raw.exists()
    assert not list(watched.path.glob("data/03*/*.parquet"))
    assert len(client.search_model_versions()) == 1


def test_real_file_replaces_synthetic_tables(watched: Project, real_sample_path: Path) -> None:
    watched.raw.write_bytes(real_sample_path.read_bytes())
    outcome = watched.cli("--pipelines", "processing")
    assert outcome.status == 0, outcome.output
    assert not watched.table("records")["page_id"].str.contains("synthetic").any()
