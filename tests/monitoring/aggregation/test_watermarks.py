"""The scope of a run after another release."""

import logging
from datetime import date

import pytest
from support.random_log import OPTIONS
from support.table import TABLE

from marvel_kedro.monitoring import options
from marvel_kedro.monitoring.aggregation.watermarks import ChangedDays, complete, find_scope
from marvel_kedro.monitoring.tables import WATERMARKS

DAY = date(2026, 3, 27)


def test_metrics_of_a_release_that_counted_in_another_way_are_computed_again_with_a_message(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    new, nothing_new = ChangedDays({DAY: 5}, (DAY,), ()), ChangedDays({DAY: 5}, (), ())
    with monkeypatch.context() as earlier:
        earlier.setattr(options, "COUNTING", "1")
        scope, marks = find_scope(
            new, WATERMARKS.empty_table(), {}, set(), OPTIONS, TABLE.target, lost=False
        )
        marks = complete(new, marks, scope)
    with caplog.at_level(logging.INFO):
        scope, _ = find_scope(nothing_new, marks, {}, set(), OPTIONS, TABLE.target, lost=False)
        assert scope.recompute_all
        assert scope.days == (DAY,)
        assert caplog.text.count("all metrics are computed again") == 1
        scope, _ = find_scope(
            nothing_new,
            complete(nothing_new, marks, scope),
            {},
            set(),
            OPTIONS,
            TABLE.target,
            lost=False,
        )
    assert not scope.recompute_all
    assert caplog.text.count("all metrics are computed again") == 1
