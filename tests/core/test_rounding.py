"""Rounded shares: what is not exactly none or all never reads as such."""

import pytest

from marvel_kedro.core.rounding import rounded


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.0, ".1%", "0.0%"),
        (1 / 4009, ".1%", "<0.1%"),
        (0.0005, ".1%", "0.1%"),
        (0.5, ".0%", "50%"),
        (0.996, ".0%", ">99%"),
        (0.99996, ".1%", ">99.9%"),
        (1.0, ".1%", "100.0%"),
        (1.0 - 2e-16, ".2%", "100.00%"),
        (1.5, ".0%", "150%"),
        (0.9996, ".3f", ">0.999"),
        (0.0004, ".3f", "<0.001"),
        (0.99996, ".4g", ">0.9999"),
        (0.00001234, ".4g", "1.234e-05"),
        (12345.6, ",.0f", "12,346"),
        (0.00004, "+.4f", "+0.0000"),
        (float("nan"), ".1%", "nan%"),
    ],
)
def test_only_exact_extremes_read_as_such(value: float, form: str, text: str) -> None:
    assert rounded(value, form) == text
