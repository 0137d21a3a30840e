"""Performance and fairness metrics, compared with scikit-learn on the counted records."""

import math
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from support.samples import ALL, CLASSES, distribution, group, scored, window

from marvel_kedro.monitoring.aggregation.value_counts import ScoreCounts, Segment
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.tables import FAIRNESS_FIELDS, PERFORMANCE_FIELDS, TABLE

PERFORMANCE = [field.name for field in PERFORMANCE_FIELDS]
FAIRNESS = [field.name for field in FAIRNESS_FIELDS]
Record = tuple[float, bool, bool | None]
some_records = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.integers(0, 10_000).map(lambda p: p / 1e4)
        ),
        st.booleans(),
        st.sampled_from([True, False, None]),
    ),
    min_size=1,
    max_size=50,
)


def counted(records: list[Record]) -> ScoreCounts:
    probability, predicted, positive = zip(*records, strict=True)
    return scored(probability, predicted, positive)


def performance_of(records: list[Record]) -> dict[str, Any]:
    columns = {"height": distribution([1.0])}
    found = profile_metrics({(window(0), ALL): group(columns, counted(records))}, {}, CLASSES)
    table, column = found.to_pylist()
    assert table["column_name"] == TABLE
    assert [column[name] for name in (*PERFORMANCE, *FAIRNESS)] == [None] * 11
    return table


def class_names(flags: list[Any]) -> list[str]:
    return ["Alive" if flag else "Dead" for flag in flags]


@given(some_records.filter(lambda rows: any(positive is not None for *_, positive in rows)))
def test_metrics_equal_scikit_learn(records: list[Record]) -> None:
    row = performance_of(records)
    score, predicted, positive = map(
        list, zip(*(r for r in records if r[2] is not None), strict=True)
    )
    predictions, truth = class_names(predicted), class_names(positive)
    assert row["count"] == len(records)
    assert row["accuracy_score"] == pytest.approx(reference.accuracy_score(truth, predictions))
    assert row["log_loss"] == pytest.approx(
        reference.log_loss(positive, score, labels=[False, True]), abs=1e-9
    )
    matrix = reference.confusion_matrix(truth, predictions, labels=[*CLASSES])
    assert [
        (each["prediction"], each["label"], each["count"]) for each in row["confusion_matrix"]
    ] == [
        (one, other, matrix[CLASSES.index(other), CLASSES.index(one)])
        for one in CLASSES
        for other in CLASSES
    ]
    if len(set(positive)) == 2:
        area = row["roc_auc_score"]["one_vs_one"]["weighted"]
        assert area == pytest.approx(reference.roc_auc_score(positive, score), abs=1e-12)
    else:
        assert row["roc_auc_score"] is None
    for name in ("precision", "recall", "f1_score"):
        score_of = getattr(reference, name if name == "f1_score" else f"{name}_score")

        def expected(average: str | None, score_of: Any = score_of) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the mean of no values
                return score_of(
                    truth, predictions, labels=[*CLASSES], average=average, zero_division=np.nan
                )

        one_vs_all = dict(row[name]["one_vs_all"])
        assert tuple(one_vs_all) == CLASSES
        by_class = [math.nan if value is None else value for value in one_vs_all.values()]
        assert by_class == pytest.approx(expected(None).tolist(), nan_ok=True)
        assert row[name]["macro"] == pytest.approx(expected("macro"))
        assert row[name]["weighted"] == pytest.approx(expected("weighted"))


def test_metrics_equal_a_hand_calculation() -> None:
    """Four of six right: 2 of 3 Alive and 2 of 3 Dead are found; one record has no label."""
    row = performance_of(
        [
            (0.9, True, True),
            (0.8, True, True),
            (0.4, False, True),
            (0.6, True, False),
            (0.3, False, False),
            (0.3, False, False),
            (0.1, False, None),
        ]
    )
    assert row["accuracy_score"] == pytest.approx(4 / 6)
    assert dict(row["precision"]["one_vs_all"]) == pytest.approx({"Alive": 2 / 3, "Dead": 2 / 3})
    assert row["roc_auc_score"]["one_vs_one"]["weighted"] == pytest.approx(8 / 9)
    likely = [0.9, 0.8, 0.4, 0.4, 0.7, 0.7]
    assert row["log_loss"] == pytest.approx(-np.mean(np.log(likely)))


def test_performance_is_null_without_labels() -> None:
    row = performance_of([(0.9, True, None), (0.1, False, None)])
    assert [row[name] for name in (*PERFORMANCE, *FAIRNESS)] == [None] * 11
    assert row["count"] == 2


def test_roc_auc_is_null_with_labels_of_one_class() -> None:
    row = performance_of([(0.9, True, True), (0.8, True, True)])
    assert row["roc_auc_score"] is None
    assert dict(row["precision"]["one_vs_all"]) == {"Alive": 1.0, "Dead": None}
    assert (row["precision"]["macro"], row["recall"]["weighted"]) == (1.0, 1.0)


def test_nan_probability_leaves_metrics_that_need_no_probability() -> None:
    row = performance_of([(0.9, True, True), (np.nan, False, False)])
    assert row["accuracy_score"] == 1.0
    assert (row["log_loss"], row["roc_auc_score"]) == (None, None)


def fairness_of(these: list[Record], others: list[Record] | None) -> dict[str, Any]:
    groups = {(window(0), Segment("3", "gender = 'Female'", "true")): group(of=counted(these))}
    if others is not None:
        groups[window(0), Segment("3", "gender = 'Female'", "false")] = group(of=counted(others))
        # Other windows, versions and slices are not the opposite slice.
        groups[window(1), Segment("3", "gender = 'Female'", "false")] = group(of=counted(these))
        groups[window(0), Segment("4", "gender = 'Female'", "false")] = group(of=counted(these))
        groups[window(0), Segment("3", "origin = 'Human'", "false")] = group(of=counted(these))
    rows = profile_metrics(groups, {}, CLASSES).to_pylist()
    (row,) = (r for r in rows if r["slice_value"] == "true")
    return {name: row[name] and dict(row[name]["one_vs_all"]) for name in FAIRNESS}


def times(number: int, probability: float, positive: bool | None) -> list[Record]:
    return [(probability, probability >= 0.5, positive)] * number


def test_fairness_equals_a_hand_calculation() -> None:
    """Precision 6/8 to 5/10, false positives 2/4 to 5/10, true positives 6/8 to 5/5."""
    these = [
        *times(6, 0.9, True),
        *times(2, 0.9, False),
        *times(2, 0.1, True),
        *times(2, 0.1, False),
    ]
    others = [*times(5, 0.9, True), *times(5, 0.9, False), *times(5, 0.1, False)]
    found = fairness_of(these, others)
    assert found["predictive_parity"] == pytest.approx({"Alive": 0.75 / 0.5, "Dead": 0.5 / 1})
    assert found["predictive_equality"]["Alive"] == pytest.approx(0.5 / 0.5)
    assert found["predictive_equality"]["Dead"] is None  # 2/8 to none of 5
    assert found["equal_opportunity"] == pytest.approx({"Alive": 0.75 / 1, "Dead": 0.5 / 0.5})
    assert found["statistical_parity"] == pytest.approx(
        {"Alive": (8 / 12) / (10 / 15), "Dead": (4 / 12) / (5 / 15)}
    )


def test_statistical_parity_needs_no_labels() -> None:
    found = fairness_of(times(1, 0.9, None) + times(3, 0.1, None), times(1, 0.9, None) * 2)
    assert found.pop("statistical_parity") == {"Alive": 0.25, "Dead": None}
    assert list(found.values()) == [None] * 3


def test_fairness_is_null_without_the_opposite_slice() -> None:
    assert list(fairness_of(times(3, 0.9, True), None).values()) == [None] * 4


def test_performance_of_a_group_is_bitwise_independent_of_other_groups_and_row_order() -> None:
    generator = np.random.default_rng(8)
    groups = {}
    for day in range(8):
        probability = np.round(generator.random(200 + 17 * day), 2)
        positive = generator.random(len(probability)) < probability
        groups[window(day), ALL] = group(of=scored(probability, positive=positive.tolist()))
    together = profile_metrics(groups, {}, CLASSES)
    alone = [profile_metrics({key: each}, {}, CLASSES) for key, each in groups.items()]
    assert pa.concat_tables(alone).equals(together)

    def shuffled(cells: ScoreCounts) -> ScoreCounts:
        order = generator.permutation(len(cells.rows))
        names = ("probability", "predicted", "labelled", "positive", "rows")
        return ScoreCounts(*(getattr(cells, name)[order] for name in names))

    again = {key: group(of=shuffled(each.scored)) for key, each in groups.items()}
    assert profile_metrics(again, {}, CLASSES).equals(together)
