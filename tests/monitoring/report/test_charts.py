"""Charts as SVG: coordinates are proportional to numbers, and names are escaped text."""

import itertools
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marvel_kedro.monitoring.report import axes, charts, svg
from marvel_kedro.monitoring.report.charts import Band, Bar, Line
from marvel_kedro.monitoring.report.data import Performance

START = datetime(2026, 1, 1, tzinfo=UTC)
HOSTILE = '</text><script>alert(1)</script>"&'


def days(*numbers: float) -> list[datetime]:
    return [START + timedelta(days=number) for number in numbers]


def over_time(values: list[float | None], at: list[datetime] | None = None) -> ET.Element:
    return ET.fromstring(
        charts.over_time(
            at or days(*range(len(values))),
            [Line(values, "c1", "circle")],
            label="Something.",
            form_time=lambda moment: f"{moment.day} Jan",
            form=lambda value: f"{value:g}",
        )
    )


def points(drawn: ET.Element) -> list[tuple[float, float]]:
    return [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter("circle")]


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_within(low: float, span: float) -> None:
    found = axes.ticks(low, low + span)
    assert 1 <= len(found) <= 9
    assert all(low - 1e-6 * span <= value <= low + span * (1 + 1e-6) for value in found)
    if len(found) > 1:
        step = found[1] - found[0]
        first = float(f"{step:.3e}".split("e")[0])
        assert round(first, 2) in {1, 2, 5, 10}
        assert np.allclose(np.diff(found), step)


def test_ticks_of_a_share_follow_the_requested_number() -> None:
    assert axes.ticks(0, 1) == [0, 0.5, 1]
    assert axes.ticks(0, 1, least=1) == [0, 1], "a count has no halves"
    assert axes.ticks(0, 7, least=1) == axes.ticks(0, 7) == [0, 2, 4, 6]
    assert axes.ticks(0, 1, about=5) == [0, 0.2, 0.4, 0.6, 0.8, 1]


@given(
    st.lists(st.floats(-100, 100), min_size=1, max_size=200),
    st.lists(st.floats(-120, 120), min_size=2, max_size=10, unique=True),
)
def test_histogram_shares_add_up_to_one(sample: list[float], edges: list[float]) -> None:
    quantiles = np.percentile(sample, range(101)).tolist()
    found = charts.histogram_shares(quantiles, np.array(sorted(edges)))
    assert found.sum() == pytest.approx(1)
    assert (found >= -1e-12).all()


@pytest.mark.parametrize("kind", ["even", "normal", "two values", "skewed"])
def test_histogram_shares_match_the_sample_within_two_percent(kind: str) -> None:
    """Percentiles can be off by two hundredths at the ends of a bin."""
    generator = np.random.default_rng(0)
    sample = {
        "even": generator.uniform(0, 1, 20_000),
        "normal": generator.normal(0, 1, 20_000),
        "two values": generator.choice([1.0, 2.0], 20_000, p=[0.3, 0.7]),
        "skewed": generator.lognormal(0, 1, 20_000),
    }[kind]
    low, high = np.percentile(sample, [1, 99])
    edges = np.linspace(low - 0.003, high + 0.002, 13)
    found = charts.histogram_shares(np.percentile(sample, range(101)).tolist(), edges)
    expected = np.histogram(np.clip(sample, edges[0], edges[-1]), edges)[0] / len(sample)
    assert np.abs(found - expected).max() < 0.02


def test_coordinates_are_proportional_to_times_and_values() -> None:
    (x0, y0), (x1, y1), (x2, y2) = points(over_time([0.0, 1.0, 4.0], days(0, 1, 4)))
    assert (x2 - x0) / (x1 - x0) == pytest.approx(4, abs=0.01)
    assert (y0 - y2) / (y0 - y1) == pytest.approx(4, abs=0.01)


def test_missing_value_breaks_the_line_and_isolated_points_have_markers() -> None:
    drawn = over_time([1.0, 2.0, None, 3.0])
    (line,) = drawn.iter("path")
    assert line.attrib["d"].count("M") == 2
    assert len(points(drawn)) == 3
    # With many points only those without neighbours are marked.
    many: list[float | None] = [1.0, *[float(number) for number in range(60)], None, 5.0]
    assert len(points(over_time(many))) == 1


def test_time_labels_end_with_the_newest_and_do_not_overlap() -> None:
    drawn = over_time([float(number % 7) for number in range(30)])
    labels = [
        (float(text.attrib["x"]), text.text or "")
        for text in drawn.iter("text")
        if "Jan" in (text.text or "")
    ]
    assert labels[-1][1] == "30 Jan"
    ends = [(x - 3.1 * len(text), x + 3.1 * len(text)) for x, text in labels]
    assert all(right <= left for (_, right), (left, _) in itertools.pairwise(ends))


def test_band_of_one_window_has_a_width() -> None:
    drawn = ET.fromstring(
        charts.over_time(
            days(0, 1, 2),
            [],
            bands=[Band([1.0, None, 0.0], [2.0, None, None], "c1")],
            label="Something.",
            form_time=str,
            form=str,
        )
    )
    (area,) = drawn.iter("polygon")
    x = {float(pair.split(",")[0]) for pair in area.attrib["points"].split()}
    assert max(x) - min(x) > 2


def test_stacked_bars_lie_on_top_of_each_other() -> None:
    drawn = ET.fromstring(
        charts.stacked(
            days(0, 1), [[1.0, 2.0], [3.0, 0.0]], label="Something.", form_time=str, form=str
        )
    )
    bars = [(one.attrib["class"], float(one.attrib["y"]), float(one.attrib["height"]))
            for one in drawn.iter("rect")]  # fmt: skip
    first, on_top, second, nothing = bars
    assert on_top[2] == pytest.approx(3 * first[2], abs=0.1)
    assert second[2] == pytest.approx(2 * first[2], abs=0.1)
    assert on_top[1] + on_top[2] == pytest.approx(first[1], abs=0.1)
    assert nothing[2] == pytest.approx(0, abs=0.01)


def test_histogram_heights_are_proportional_to_shares() -> None:
    drawn = ET.fromstring(
        charts.histograms(
            np.array([0.0, 1.0, 2.0, 3.0]),
            np.array([0.5, 0.0, 0.25]),
            None,
            label="Something.",
            form=str,
        )
    )
    (line,) = [path for path in drawn.iter("path") if path.attrib["class"] == "line c1"]
    foot, *tops = [float(y) for y in re.findall(r"(?:M\S+ |V)([\d.]+)", line.attrib["d"])]
    assert foot - tops[0] == pytest.approx(2 * (foot - tops[2]), abs=0.1)
    assert tops[1] == tops[3] == foot


def test_unknown_share_has_no_bar_but_its_upper_limit() -> None:
    drawn = ET.fromstring(
        charts.paired_bars(
            [Bar("one", 0.5, None, 0.01), Bar("two", 0.25, 0.5)],
            label="Something.",
            form=lambda value: f"{value:.0%}",
        )
    )
    assert len(list(drawn.iter("rect"))) == 3
    assert [text.text for text in drawn.iter("text")] == ["one", "50%", "≤ 1%", "two", "25%", "50%"]


def test_interval_surrounds_its_dot() -> None:
    drawn = ET.fromstring(
        charts.ranges(
            [("one", Performance(0.3, 0.2, 0.4, baseline=0.25))], label="Something.", form=str
        )
    )
    (line,) = [one for one in drawn.iter("line") if one.attrib["class"] == "range c1"]
    (dot,) = drawn.iter("circle")
    middle = (float(line.attrib["x1"]) + float(line.attrib["x2"])) / 2
    assert float(dot.attrib["cx"]) == pytest.approx(middle, abs=0.1)


def test_sparkline_needs_two_points() -> None:
    assert charts.sparkline([None, 1.0]) == ""
    assert ET.fromstring(charts.sparkline([1.0, None, 2.0])).attrib["aria-hidden"] == "true"


def test_markup_in_names_is_escaped() -> None:
    drawn = charts.paired_bars([Bar(HOSTILE, 0.5, 0.5)], label=HOSTILE, form=lambda _: HOSTILE)
    read = ET.fromstring(drawn)
    assert not list(read.iter("script"))
    assert read.attrib["aria-label"] == HOSTILE
    assert next(read.iter("text")).text == HOSTILE


@pytest.mark.parametrize(
    "kind", ["bar", "hollow", "band", "level", "tick", "line", "dashed", "circle", "diamond"]
)
def test_swatch_is_hidden_from_screen_readers(kind: str) -> None:
    assert ET.fromstring(svg.swatch(kind)).attrib["aria-hidden"] == "true"
