"""The synthetic file: its shape, its shares and its determinism."""

import csv
import hashlib
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score
from support.project import ROOT
from support.synthetic_rows import ROWS, generate, share
from support.table import TABLE

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.synthetic_rows import KEY_PREFIX


def test_synthetic_file_has_columns_of_real_file(
    real_sample_path: Path, synthetic_path: Path, raw: pd.DataFrame
) -> None:
    headers = [next(csv.reader(path.open())) for path in (real_sample_path, synthetic_path)]
    assert headers[0] == headers[1] == list(raw.columns)


def test_page_ids_are_unique_and_have_synthetic_prefix(raw: pd.DataFrame) -> None:
    assert raw["PageID"].is_unique
    assert raw["PageID"].str.startswith(KEY_PREFIX).all()
    assert raw[""].tolist() == [str(number) for number in range(ROWS)]


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("Alive", "Alive", 0.77),
        ("Identity", "Public", 0.52),
        ("Identity", "Secret", 0.27),
        ("Identity", "", 0.21),
        ("Gender", "Male", 0.71),
        ("Gender", "Female", 0.25),
        ("Marital Status", "", 0.56),
        ("Marital Status", "Single", 0.35),
        ("Marital Status", "Married", 0.06),
        ("Teams", "", 0.46),
        ("Height (m)", "", 0.94),
        ("Weight (kg)", "", 0.95),
        ("Origin", "", 0.16),
        ("Origin", "Human", 0.36),
        ("Universe", "Earth-616", 0.37),
    ],
)
def test_shares_are_those_of_real_file(
    raw: pd.DataFrame, column: str, value: str, expected: float
) -> None:
    assert share(raw, column, value) == pytest.approx(expected, abs=0.03)


def test_synthetic_file_has_quirks_of_source(raw: pd.DataFrame) -> None:
    for mark in (r"\[ 1 \]", r" \| ", '"', ", "):
        assert raw["Origin"].str.contains(mark).any(), mark
    assert raw["Teams"].str.contains("; ").any()
    assert set(raw["Gender"]) - {"", "Male", "Female"}
    families = raw["Name"].value_counts()
    assert families.max() > 100
    assert raw.loc[raw["Name"] == families.index[0], "Universe"].is_unique
    assert raw["Universe"].nunique() > 800
    height = pd.to_numeric(raw["Height (m)"])
    assert height.median() == pytest.approx(1.78, abs=0.06)
    assert height.max() <= 18.29


def test_share_of_filled_teams_by_identity_is_that_of_real_file(
    raw: pd.DataFrame, real_sample_path: Path
) -> None:
    real = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    for identity in ("Public", "Secret", ""):
        filled = [
            float((rows.loc[rows["Identity"] == identity, "Teams"] != "").mean())
            for rows in (real, raw)
        ]
        assert filled[1] == pytest.approx(filled[0], abs=0.08), identity


def test_share_of_filled_heights_by_teams_is_that_of_real_file(
    raw: pd.DataFrame, real_sample_path: Path
) -> None:
    real = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    for teams in range(4):
        filled = [
            float((rows.loc[rows["Teams"].str.count("[^;]+") == teams, "Height (m)"] != "").mean())
            for rows in (real, raw)
        ]
        assert filled[1] == pytest.approx(filled[0], abs=0.09), teams


def test_same_seed_gives_same_bytes_and_longer_file_begins_with_shorter(tmp_path: Path) -> None:
    digests = []
    for number, options in enumerate(({"seed": 3}, {"seed": 3}, {"seed": 4})):
        path = tmp_path / f"{number}.csv"
        RawCSVDataset(filepath=str(path)).save(
            make_characters(SyntheticOptions(rows=25_000, **options))
        )
        digests.append(hashlib.sha256(path.read_bytes()).hexdigest())
    assert digests[0] == digests[1] != digests[2]
    longer = next(make_characters(SyntheticOptions(rows=60_000, seed=3)))
    pd.testing.assert_frame_equal(longer, generate(rows=20_000, seed=3))


def test_other_row_seed_gives_other_rows_of_same_world(
    raw: pd.DataFrame, fitted: TabularModel
) -> None:
    """A model of the world scores the other rows as well as new rows of the first seed."""
    other = generate(rows=ROWS, row_seed=1)
    same = [(other[name] == raw[name]).mean() for name in ("Identity", "Origin")]
    assert max(same) < 0.7
    new = generate(rows=2 * ROWS).iloc[ROWS:].reset_index(drop=True)
    scores = []
    for rows in (new, other):
        characters = select_usable(read_source(rows, TABLE), TABLE)
        alive = characters["alive"] == "Alive"
        scores.append(roc_auc_score(alive, fitted.probabilities(characters)))
    assert scores[1] == pytest.approx(scores[0], abs=0.015)
    assert scores[1] > 0.68


def test_other_process_gives_same_bytes() -> None:
    code = (
        "import sys; from marvel_kedro.characters.synthetic import *; "
        "next(make_characters(SyntheticOptions(rows=500))).to_csv(sys.stdout, index=False)"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1] != b""


def test_ten_million_rows_are_generated_lazily() -> None:
    frames = list(islice(make_characters(SyntheticOptions(rows=10_000_000)), 2))
    assert [len(frame) for frame in frames] == [20_000, 20_000]


def test_memory_is_bounded_for_long_file(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from marvel_kedro.datasets.raw_csv import RawCSVDataset; "
        "from marvel_kedro.characters.synthetic import *; "
        "options = SyntheticOptions(rows=int(sys.argv[1])); "
        "RawCSVDataset(filepath=sys.argv[2]).save(make_characters(options)); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for rows in (40_000, 400_000):
        path = tmp_path / f"{rows}.csv"
        done = subprocess.run(
            [sys.executable, "-c", code, str(rows), str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks.append(int(done.stdout.splitlines()[-1]) / 1000)
    assert (tmp_path / "400000.csv").stat().st_size / 1e6 > 60
    assert peaks[1] - peaks[0] < 25, peaks


def test_options_out_of_range_are_refused() -> None:
    for options in ({"rows": 0}, {"rows": 10_000_001}, {"seed": -1}, {"colour": 1}):
        with pytest.raises(ValidationError):
            SyntheticOptions.model_validate(options)
