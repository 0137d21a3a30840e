"""The arithmetic of whole percentages, compared with exact fractions."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marvel_kedro.serving.traffic_split import redistribute


@st.composite
def splits(draw: st.DrawFn) -> tuple[dict[str, int], list[str]]:
    """Shares that add up to 100, and the entities that are available."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=6)))
    shares = [end - start for start, end in zip([0, *cuts], [*cuts, 100], strict=True)]
    traffic = {f"entity{number}": share for number, share in enumerate(shares)}
    available = draw(st.lists(st.sampled_from(list(traffic)), unique=True, min_size=1))
    return traffic, [name for name in traffic if name in available]


@given(splits())
def test_redistribute_rounds_by_largest_remainders(
    split: tuple[dict[str, int], list[str]],
) -> None:
    traffic, available = split
    shares = redistribute(traffic, available)
    assert list(shares) == available
    assert sum(shares.values()) == 100
    total = sum(traffic[name] for name in available)
    exact = {
        name: Fraction(100 * traffic[name], total) if total else Fraction(100, len(available))
        for name in available
    }
    for name, share in shares.items():
        assert abs(share - exact[name]) < 1
        assert share == exact[name] or exact[name].denominator > 1
    # Entities rounded up have at least the remainders of those rounded down.
    up = [exact[name] % 1 for name in available if shares[name] > exact[name]]
    down = [exact[name] % 1 for name in available if shares[name] < exact[name]]
    assert min(up, default=Fraction(1)) >= max(down, default=Fraction(0))


@pytest.mark.parametrize(
    ("traffic", "available", "shares"),
    [
        ({"a": 90, "b": 10}, ["a", "b"], {"a": 90, "b": 10}),
        ({"a": 90, "b": 10}, ["b"], {"b": 100}),
        ({"a": 100, "b": 0}, ["b"], {"b": 100}),
        ({"a": 100, "b": 0, "c": 0, "d": 0}, ["b", "c", "d"], {"b": 34, "c": 33, "d": 33}),
        ({"a": 100}, ["a", "b"], {"a": 100, "b": 0}),
        ({"a": 100}, [], {}),
    ],
)
def test_redistribute_examples(
    traffic: dict[str, int], available: list[str], shares: dict[str, int]
) -> None:
    assert redistribute(traffic, available) == shares
