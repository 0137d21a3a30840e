"""The Prometheus text of exported samples, read by Prometheus' own parser."""

import math
import os
import shutil
import subprocess

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.exported_metrics import (
    NOW,
    drift,
    every_family,
    export_rows,
    key,
    labelled,
    parse_text,
)

from marvel_kedro.monitoring.export import FAMILIES, Exported, Family, Sample
from marvel_kedro.monitoring.prometheus_text import render


def test_text_has_every_sample_with_help_and_type_of_its_family() -> None:
    exported = every_family()
    samples = {key(sample): sample.value for sample in exported.samples}
    assert parse_text(render(exported)) == samples
    families = {one.name: one for one in text_string_to_metric_families(render(exported))}
    assert len(families) == len(FAMILIES)
    for family in FAMILIES:
        assert families[family.name].documentation == family.description
        assert families[family.name].type == "gauge"


@example(labels=('a"b', "c\\n\nd"), value=-0.0, description="two\nlines")
@example(labels=("", "{}"), value=5e-324, description="a # of \\")
@given(
    labels=st.tuples(st.text(), st.text()),
    value=st.floats(allow_nan=False),
    description=st.text(min_size=1).filter(lambda text: text == text.strip()),
)
def test_any_label_value_and_number_is_parsed_back_unchanged(
    labels: tuple[str, str], value: float, description: str
) -> None:
    family = Family("marvel_monitoring_any", description, ("one", "other"))
    found = parse_text(render(Exported(NOW, (Sample(family, labels, value),))))
    series = key(Sample(family, labels, value))
    assert found == {series: value}
    assert math.copysign(1, found[series]) == math.copysign(1, value)


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="promtool is not installed"
)
def test_promtool_accepts_names_and_types() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=render(every_family()), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_infinite_value_is_written_in_prometheus_notation() -> None:
    text = render(export_rows(profile=[labelled(2, 80, 40, log_loss=math.inf)]))
    labels = 'granularity="1 day",metric="log_loss",model_version="3",source="realised"'
    assert f"marvel_monitoring_quality{{{labels}}} +Inf\n" in text


def test_repeated_rows_are_one_series() -> None:
    rows = [drift(2), drift(2, population_stability_index=0.4, monitor_version=1)]
    exported = export_rows(drift=rows)
    assert len(parse_text(render(exported))) == len(exported.samples)
