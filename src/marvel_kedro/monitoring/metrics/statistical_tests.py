"""P-values of two-sample tests, and the distances that chance alone gives."""

import math

import numpy as np
from scipy import optimize, special

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.distributions import Numbers

_SMALLEST_PVALUE = 1e-300


def ks_pvalue(statistic: Floats, first: Numbers, second: Numbers) -> Floats:
    """Compute the p-value of the two-sided two-sample Kolmogorov-Smirnov test.

    With many equal values it is too large, as in SciPy: it finds a third of the rows moved to
    another value in 100 records, but not a tenth that leaves a constant.

    The limiting distribution (Kolmogorov, 1933) of sqrt(n) D with n = first * second /
    (first + second), rounded, after the correction for finite n of Vrbik (2018, "Small-sample
    corrections to Kolmogorov-Smirnov test statistic"). `scipy.stats.ks_2samp(method="asymp")` uses
    the exact distribution for n, as do the rows that Databricks was seen to write; it takes up to
    50 ms per value. For n of 20 or more the two differ by less than 0.001. `statistic` is D, the
    largest difference of the distribution functions; `first` and `second` are the sample sizes.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    size = np.maximum(np.round(first * second / (first + second)), 1.0)
    root = np.sqrt(size)
    scaled = statistic * root
    corrected = scaled + 1 / (6 * root) + (scaled - 1) / (4 * size)
    return np.where(statistic > 0, special.kolmogorov(corrected), 1.0)


def chi_squared_pvalue(
    statistic: Floats, first: Numbers, second: Numbers, categories: Numbers, reciprocals: Floats
) -> Floats:
    """Compute the p-value of the chi-squared test of homogeneity, valid for rare categories.

    Under random assignment of the rows to the two samples, the statistic has the mean and variance
    of Dawson (1954, "A simplified expression for the variance of the chi-squared function on a
    contingency table", Biometrika 41). The p-value is that of the gamma distribution with these two
    moments. For frequent categories it is the chi-squared distribution. With many rare categories
    and samples of unequal size, as a window and a baseline, the variance is a multiple
    of that of the chi-squared distribution, which would report drift on most days without any.
    `scipy.stats.chi2_contingency`, and presumably Databricks, always use the latter.

    Args:
        statistic: Pearson's, without continuity correction.
        first: Size of one sample.
        second: Size of the other.
        categories: Number of categories in both.
        reciprocals: Sum over the categories of 1 / rows in both samples.

    Returns:
        1 where the test has no power: one category, only categories with one row, or fewer than
        four rows.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    categories = np.asarray(categories, np.float64)
    rows = first + second
    few = rows < 4  # noqa: PLR2004 - the variance is 0 / 0
    some = np.where(few, 4.0, rows)
    by_side = (some - 2) / (some - 1)
    by_category = (categories - 1) * (some - categories) / (some - 1)
    uneven_sides = (some / first + some / second - 4) / (some - 2)
    uneven_categories = (some * reciprocals - categories**2) / (some - 2)
    mean = some * (categories - 1) / (some - 1)
    variance = (
        2 * some / (some - 3) * (by_side - uneven_sides) * (by_category - uneven_categories)
        + some**2 / (some - 1) * uneven_sides * uneven_categories
    )
    # Rounding leaves about 1e-15, also of the mean 0 of one category.
    varies = ~few & (categories > 1) & (variance > 1e-9 * mean**2)
    spread = np.where(varies, variance, 1.0)
    pvalue = special.gammaincc(np.where(varies, mean, 1.0) ** 2 / spread, statistic * mean / spread)
    return np.where(varies, pvalue, 1.0)


def ks_by_chance(statistic: float, pvalue: float) -> float:
    """Return the Kolmogorov-Smirnov statistic to expect by chance, of samples of this size.

    The p-value gives the size; the mean of the limiting distribution is sqrt(pi / 2) ln 2.
    """
    scaled = special.kolmogi(pvalue)
    expected = math.sqrt(math.pi / 2) * math.log(2)
    return statistic * min(expected / scaled, 1.0) if scaled > 0 else statistic


def js_by_chance(
    distance: float, statistic: float, pvalue: float, max_categories: float = math.inf
) -> float:
    """Return the Jensen-Shannon distance to expect by chance, of samples of this size.

    Its square grows as the chi-squared statistic, whose mean by chance is the degrees of freedom
    that give the p-value. With hundreds of rare categories these are nearly the whole statistic. A
    p-value of pooled categories gives fewer: such a window has itself less noise from rare ones.

    Args:
        distance: The Jensen-Shannon distance.
        statistic: Of the chi-squared test.
        pvalue: Of the chi-squared test.
        max_categories: Bound on the categories of both samples, for p-values that underflow.
    """

    def excess(freedom: float) -> float:
        return float(special.gammaincc(freedom / 2, statistic / 2)) - max(pvalue, _SMALLEST_PVALUE)

    if statistic <= 0 or excess(statistic) <= 0:
        return distance
    few = statistic * 1e-9
    freedom = 0.0 if excess(few) >= 0 else optimize.brentq(excess, few, statistic)
    return distance * math.sqrt(min(freedom, max(max_categories - 1, 1.0), statistic) / statistic)
