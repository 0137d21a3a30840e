"""Performance estimation, compared with NannyML and with realised performance."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as reference
from sklearn.isotonic import IsotonicRegression
from support.samples import ALL, distribution, group, scored, window
from support.scenario import reference_and_chunks

from marvel_kedro.monitoring.aggregation.value_counts import Group, Segment
from marvel_kedro.monitoring.metrics.calibration import fit_calibration
from marvel_kedro.monitoring.metrics.performance_estimation import METRICS, quality_estimates
from marvel_kedro.monitoring.tables import QUALITY_ESTIMATES

# Printed by `tests/support/nannyml_figures.py` with NannyML 0.13.1.
NANNYML: dict[bool, dict[str, Any]] = {
    True: {
        "calibrates": False,
        "roc_auc": [0.777018, 0.72806, 0.65614],
        "accuracy": [0.714012, 0.678969, 0.635508],
        "roc_auc realised": [0.781974, 0.754541, 0.654187],
        "accuracy realised": [0.724, 0.701, 0.632],
    },
    False: {
        "calibrates": True,
        "roc_auc": [0.783916, 0.729416, 0.65546],
        "accuracy": [0.721585, 0.683206, 0.642665],
        "roc_auc realised": [0.78198, 0.754556, 0.654183],
        "accuracy realised": [0.724, 0.702, 0.632],
    },
}


def counted(data: dict[str, Any], *, labels: bool = True) -> Group:
    positive = data["alive"].tolist() if labels else None
    return group({}, scored(data["probability"], data["predicted"], positive))


def estimates(groups: list[Group], baseline: Group, **options: float) -> list[list[dict[str, Any]]]:
    """Rows by window, then by metric."""
    of = {(window(day), ALL): each for day, each in enumerate(groups)}
    found = quality_estimates(of, {ALL: baseline}, **options)
    assert found.schema.equals(QUALITY_ESTIMATES)
    rows = found.to_pylist()
    assert [row["metric"] for row in rows] == list(METRICS) * len(groups)
    return [rows[3 * number : 3 * number + 3] for number in range(len(groups))]


@pytest.mark.parametrize("calibrated", [True, False])
def test_estimates_equal_nannyml(calibrated: bool) -> None:
    data, chunks = reference_and_chunks(calibrated=calibrated)
    expected = NANNYML[calibrated]
    baseline = counted(data)
    calibrate = fit_calibration(baseline.scored)
    assert calibrate is not None
    grid = np.linspace(0, 1, 11)
    assert (not np.array_equal(calibrate(grid), grid)) == expected["calibrates"]
    found = estimates([counted(chunk) for chunk in chunks], baseline)
    for place, metric in enumerate(METRICS[:2]):
        of = [rows[place] for rows in found]
        assert [row["estimate"] for row in of] == pytest.approx(expected[metric], abs=2e-6)
        assert [row["realised"] for row in of] == pytest.approx(
            expected[f"{metric} realised"], abs=1e-6
        )


def test_estimate_is_independent_of_labels_and_realised_is_null_without() -> None:
    data, (chunk, *_) = reference_and_chunks(calibrated=False)
    (known,), (unknown,) = (
        estimates([counted(chunk, labels=labels)], counted(data)) for labels in (True, False)
    )
    for one, other in zip(known, unknown, strict=True):
        for name in ("estimate", "low", "high", "baseline"):
            assert one[name] == other[name]
        assert other["realised"] is None
        assert other["realised_error"] is None
        assert (other["records"], other["labelled"], one["labelled"]) == (1000, 0, 1000)


def test_baseline_performance_is_that_of_its_labels() -> None:
    data, (chunk, *_) = reference_and_chunks(calibrated=False)
    ((area, accuracy, loss),) = estimates([counted(chunk)], counted(data))
    positive, score, predicted = data["alive"], data["probability"], data["predicted"]
    assert area["baseline"] == pytest.approx(reference.roc_auc_score(positive, score))
    assert accuracy["baseline"] == pytest.approx(reference.accuracy_score(positive, predicted))
    assert loss["baseline"] == pytest.approx(reference.log_loss(positive, score))


def test_calibration_equals_isotonic_regression_of_scikit_learn() -> None:
    data, _ = reference_and_chunks(calibrated=False)
    calibrate = fit_calibration(counted(data).scored)
    assert calibrate is not None
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(data["probability"], data["alive"])
    grid = np.linspace(0, 1, 1001)
    assert calibrate(grid) == pytest.approx(isotonic.predict(grid), abs=1e-12)


def test_only_miscalibrated_probabilities_are_calibrated() -> None:
    grid = np.linspace(0, 1, 11)

    def is_calibrated(seed: int, overconfidence: float) -> bool:
        generator = np.random.default_rng(seed)
        logit = generator.normal(0.4, 1.2, 3000)
        positive = generator.random(3000) < 1 / (1 + np.exp(-logit))
        stated = np.round(1 / (1 + np.exp(-overconfidence * logit)), 4)
        calibrate = fit_calibration(scored(stated, positive=positive.tolist()))
        assert calibrate is not None
        return not np.array_equal(calibrate(grid), grid)

    assert np.mean([is_calibrated(seed, 1.0) for seed in range(40)]) < 0.2
    assert all(is_calibrated(seed, 2.0) for seed in range(40))


def test_estimates_equal_a_hand_calculation() -> None:
    """Chances of 0.9 and 0.2, uncalibrated because the baseline has one class."""
    baseline = group({}, scored([0.5], [True], [True]))
    ((area, accuracy, loss),) = estimates([group({}, scored([0.9, 0.2]))], baseline)
    assert accuracy["estimate"] == pytest.approx((0.9 + 0.8) / 2)
    expected = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8)) / 2
    assert loss["estimate"] == pytest.approx(expected)
    # Expected: 1.1 Alive, 0.9 Dead. 0.9 Alive ranks above 0.8 Dead and half of 0.1, 0.2 above half
    # of 0.8.
    assert area["estimate"] == pytest.approx((0.9 * 0.85 + 0.2 * 0.4) / (1.1 * 0.9))


def test_bounds_contain_the_realised_value_at_the_confidence_level() -> None:
    generator = np.random.default_rng(12)

    def draw(rows: int) -> dict[str, Any]:
        chance = np.round(generator.beta(3, 2, rows), 4)
        return {
            "probability": chance,
            "predicted": chance >= 0.5,
            "alive": generator.random(rows) < chance,
        }

    baseline = counted(draw(4000))
    windows = [counted(draw(200)) for _ in range(400)]
    found = estimates(windows, baseline, confidence=0.9)
    truth = np.mean([[row["estimate"] for row in rows] for rows in found], axis=0)
    for place, metric in enumerate(METRICS):
        of = [rows[place] for rows in found]
        assert np.mean([row["low"] <= row["realised"] <= row["high"] for row in of]) > 0.87, metric
        # The bounds are as wide as realised values spread.
        spread = np.std([row["realised"] for row in of])
        width = np.mean([row["high"] - row["low"] for row in of]) / 2 / 1.645
        assert width == pytest.approx(spread, rel=0.12), metric
        assert np.mean([row["realised"] for row in of]) == pytest.approx(truth[place], abs=0.005)


SIZES = [(100, 1000), (500, 200), (500, 2000), (2000, 5000), (5000, 200)]
MODELS = [(1, 0, 0.4), (2, 0, 0.4), (1.3, 0.3, 0.4), (1.5, 0, -2.5)]


def coverage(
    size: tuple[int, int], model: tuple[float, float, float], worlds: int
) -> dict[str, float]:
    """Return by metric how often the bounds hold the realised value of a calm window.

    `size` are the rows of the baseline and of the window, `model` the factor and the shift of its
    log odds (1 and 0 if calibrated) and their mean.
    """
    generator = np.random.default_rng([*size, int(10 * model[0])])

    def draw(number: int) -> Group:
        logit = generator.normal(model[2], 1.2, number)
        positive = generator.random(number) < 1 / (1 + np.exp(-logit))
        stated = 1 / (1 + np.exp(-(model[0] * logit + model[1])))
        return group({}, scored(np.round(stated, 4), positive=positive.tolist()))

    found = [row for _ in range(worlds) for row in estimates([draw(size[1])], draw(size[0]))[0]]
    assert all(row["low"] <= row["estimate"] <= row["high"] for row in found)
    held = [row["low"] <= row["realised"] <= row["high"] for row in found]
    return {metric: float(np.mean(held[n :: len(METRICS)])) for n, metric in enumerate(METRICS)}


def test_bounds_hold_the_realised_value_in_calm_windows() -> None:
    """Whether the model is calibrated or not, and however few records calibrate it."""
    found = [coverage(size, MODELS[n % 4], 40) for n, size in enumerate(SIZES)]
    for metric in METRICS:
        held = [one[metric] for one in found]
        assert min(held) >= 0.85, metric
        assert 0.92 <= np.mean(held) <= 0.99, metric


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", MODELS)
def test_bounds_have_their_level(size: tuple[int, int], model: tuple[float, float, float]) -> None:
    found = coverage(size, model, 400)
    assert all(0.91 <= held <= 0.99 for held in found.values()), found


def test_realised_error_equals_the_spread_of_realised_values() -> None:
    generator = np.random.default_rng(3)

    def draw(rows: int, known: int) -> Group:
        chance = np.round(generator.beta(3, 2, rows), 4)
        labels = [bool(one) for one in generator.random(known) < chance[:known]]
        return group({}, scored(chance, (chance >= 0.5).tolist(), labels + [None] * (rows - known)))

    baseline = draw(4000, 4000)
    found = estimates([draw(600, 200) for _ in range(400)], baseline)
    for place, metric in enumerate(METRICS):
        of = [rows[place] for rows in found]
        spread = np.std([row["realised"] for row in of])
        assert np.mean([row["realised_error"] for row in of]) == pytest.approx(spread, rel=0.12)
        # Twenty times the labels: smaller by the square root of twenty.
        scaled = of[0]["baseline_error"] * np.sqrt(4000 / 200)
        assert scaled == pytest.approx(spread, rel=0.15), metric


def test_bounds_widen_with_confidence_and_stay_in_range() -> None:
    baseline = group({}, scored([0.5], [True], [True]))
    few = group({}, scored([0.99, 0.98, 0.01]))
    wide, narrow = (estimates([few], baseline, confidence=level)[0] for level in (0.99, 0.5))
    for one, other in zip(wide, narrow, strict=True):
        assert 0 <= one["low"] <= other["low"] <= other["estimate"] <= other["high"] <= one["high"]
    assert [row["high"] for row in wide[:2]] == [1.0, 1.0]


def test_estimate_is_null_without_baseline_labels_of_the_segment() -> None:
    records = group({}, scored([0.9, 0.2, 0.7], positive=[True, False, None]))
    groups = {(window(0), ALL): records, (window(0), Segment("4")): records}
    unlabelled = group({}, scored([0.9, 0.2]))
    found = quality_estimates(groups, {ALL: unlabelled}).to_pylist()
    assert len(found) == 6
    for row in found:
        unknown = ("estimate", "low", "high", "baseline", "baseline_error")
        assert [row[name] for name in unknown] == [None] * 5
        assert row["realised"] is not None
        assert (row["records"], row["labelled"]) == (3, 2)


def test_each_segment_is_calibrated_by_its_own_baseline() -> None:
    sure, _ = reference_and_chunks(calibrated=False)
    true, (chunk, *_) = reference_and_chunks(calibrated=True)
    baselines = {ALL: counted(sure), Segment("4"): counted(true)}
    groups = {(window(0), segment): counted(chunk) for segment in baselines}
    together = quality_estimates(groups, baselines)
    alone = [
        quality_estimates({key: each}, {key[1]: baselines[key[1]]}) for key, each in groups.items()
    ]
    assert together.equals(pa.concat_tables(alone))
    assert together["estimate"][0] != together["estimate"][3]


def test_estimate_is_null_for_nan_probability_and_without_records() -> None:
    baseline = group({}, scored([0.4, 0.6], positive=[False, True]))
    (of_nan,) = estimates([group({}, scored([np.nan, 0.9]))], baseline)
    assert [row["estimate"] for row in of_nan] == [None] * 3
    (empty,) = estimates([group({"height": distribution([])}, scored([]))], baseline)
    assert [row["estimate"] for row in empty] == [None] * 3
    assert empty[0]["records"] == 0


def test_no_groups_give_an_empty_table() -> None:
    found = quality_estimates({}, {})
    assert found.num_rows == 0
    assert found.schema.equals(QUALITY_ESTIMATES)


def test_estimates_of_a_group_are_bitwise_independent_of_other_groups() -> None:
    data, chunks = reference_and_chunks(calibrated=False)
    groups = {(window(day), ALL): counted(chunk) for day, chunk in enumerate(chunks)}
    baseline = {ALL: counted(data)}
    together = quality_estimates(groups, baseline)
    assert quality_estimates(dict(reversed(groups.items())), baseline).equals(together)
    alone = [quality_estimates({key: each}, baseline) for key, each in groups.items()]
    assert pa.concat_tables(alone).equals(together)
