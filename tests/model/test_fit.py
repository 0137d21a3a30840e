"""Fitting depends only on rows and options."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import fit as fitting
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.kinds import Encoder
from marvel_kedro.model.portable.predictor import TabularModel


def test_order_of_rows_has_no_effect_on_model(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    shuffled = characters.sample(frac=1, random_state=3)
    assert fit(shuffled, TABLE, FitOptions()).digest == model.digest


@pytest.mark.parametrize("marker", ["None", "NULL", r"\N"])
def test_texts_for_a_missing_value_have_no_effect_on_model(
    characters: pd.DataFrame, marker: str
) -> None:
    options = FitOptions(max_trees=10, folds=2)
    inputs = [name for name, one in TABLE.inputs.items() if one.feature and not one.is_number]
    filled = characters.assign(**{name: characters[name].fillna(marker) for name in inputs})
    assert (filled[inputs] == marker).any().sum() > 3
    assert fit(filled, TABLE, options).digest == fit(characters, TABLE, options).digest


@pytest.mark.parametrize("threads", ["1", "2"])
def test_number_of_threads_has_no_effect_on_model(
    model: TabularModel, characters: pd.DataFrame, threads: str, tmp_path: os.PathLike[str]
) -> None:
    path = os.path.join(tmp_path, "records.parquet")  # noqa: PTH118
    characters.to_parquet(path)
    code = (
        "import sys, pandas as pd; from marvel_kedro.model.fit import fit; "
        "from marvel_kedro.model.options import FitOptions; "
        "from marvel_kedro.table.description import TableSpec; "
        "table = TableSpec.model_validate_json(sys.argv[2]); "
        "print(fit(pd.read_parquet(sys.argv[1]), table, FitOptions()).digest)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, TABLE.model_dump_json()],
        env=os.environ | {"OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == model.digest


def test_other_seed_gives_other_model(model: TabularModel, characters: pd.DataFrame) -> None:
    assert fit(characters, TABLE, FitOptions(seed=1)).digest != model.digest


def test_table_without_feature_is_rejected(characters: pd.DataFrame) -> None:
    """The endpoint would accept the columns, and their values would have no effect."""
    unused = {
        name: one.model_copy(update={"feature": False}) for name, one in TABLE.columns.items()
    }
    with pytest.raises(ProjectError, match=r"No column of the table has a feature.*table\.yml"):
        fit(characters, TABLE.model_copy(update={"columns": unused}), FitOptions())


def test_smoothed_rates_equal_manual_calculation() -> None:
    universe = pd.Series(["a", "a", "a", "b"])
    alive = np.array([True, True, False, False])
    rates = fitting._rates(universe, alive, FitOptions(rate_smoothing=2.0))
    # Overall 1/2; a: (2 + 2 * 0.5) / (3 + 2), b: (0 + 2 * 0.5) / (1 + 2).
    assert {name: rows for name, (rows, _) in rates.items()} == {"a": 3.0, "b": 1.0}
    assert rates["a"][1] == pytest.approx(0.6)
    assert rates["b"][1] == pytest.approx(1 / 3)


def test_rate_of_row_excludes_labels_of_same_name(characters: pd.DataFrame) -> None:
    rows = characters.head(400).reset_index(drop=True)
    alive = (rows["alive"] == "Alive").to_numpy()
    options = FitOptions()
    fold = fitting._hashes(rows["name"]) % options.folds
    before = fitting._rates_out_of_fold(rows["universe"], alive, fold, options)
    for row in (0, 57, 311):
        namesakes = (rows["name"] == rows["name"][row]).to_numpy()
        flipped = np.where(namesakes, ~alive, alive)
        after = fitting._rates_out_of_fold(rows["universe"], flipped, fold, options)
        assert after[row] == before[row]
    turned = fitting._rates_out_of_fold(rows["universe"], ~alive, fold, options)
    assert (turned != before).any()


def test_encoder_has_share_and_universes(model: TabularModel) -> None:
    assert isinstance(model.encoder, Encoder)
    assert model.encoder.positive_share == pytest.approx(0.77, abs=0.04)
    assert "earth-616" in model.encoder.columns["universe"].rates


def test_too_few_rows_are_rejected(characters: pd.DataFrame) -> None:
    with pytest.raises(ProjectError, match=r"10 rows.*min_rows requires 100"):
        fit(characters.head(10), TABLE, FitOptions())


def test_progress_counts_trees_of_trial_and_model(characters: pd.DataFrame) -> None:
    seen: dict[str, list[tuple[int, int]]] = {}

    def progress(work: str) -> Callable[[int, int], None]:
        seen[work] = []
        return lambda done, total: seen[work].append((done, total))

    fit(characters, TABLE, FitOptions(max_trees=30, patience=5), progress)
    trial, model = seen.values()
    for counted in (trial, model):
        assert [done for done, _ in counted] == list(range(1, len(counted) + 1))
    assert {total for _, total in trial} == {30}
    assert model[-1][0] == model[-1][1]
