"""Marginal distributions of the real file, and the dependences between its columns.

Measured on 2,994 real rows. The key `616` stands for rows of the main universe, Earth-616.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

ALIVE_SHARE = 0.77

# Variants of a name: most names occur once, some in dozens of universes, a few in hundreds.
SINGLE_SHARE = 0.83
VARIANTS_TAIL = 1.1
MAX_VARIANTS = 400
FIRST_IS_616 = 0.69

UNIVERSES = 5_000  # that recur, the most frequent first; further ones occur once
UNIVERSE_OFFSET = 4  # flatness of the frequencies: the probability falls as 1 / (rank + offset)
ORDINARY_UNIVERSES = 60  # the most frequent ones, none of which is temporary or a realm
TEMPORARY_SHARE = 0.11
REALM_SHARE = 0.025

IDENTITY = ("", "Public", "Secret")
IDENTITY_SHARES = {"616": (0.14, 0.64, 0.22), "other": (0.25, 0.45, 0.30)}

GENDER = ("Male", "Female", "", "free")
GENDER_SHARES = (0.708, 0.250, 0.038, 0.004)

MARITAL = ("", "Single", "Married", "Widowed", "Widow", "Engaged")
MARITAL_SHARES = {
    "": (0.87, 0.108, 0.020, 0.001, 0.0, 0.001),
    "Public": (0.45, 0.418, 0.097, 0.028, 0.002, 0.005),
    "Secret": (0.49, 0.484, 0.014, 0.009, 0.001, 0.002),
}

TEAMS_FILLED = {"": 0.45, "Public": 0.51, "Secret": 0.65}
TEAMS_COUNT = (0.773, 0.142, 0.043, 0.018, 0.012, 0.006, 0.006)

ORIGIN = ("", "Human", "Mutant", "Human mutate", "Human Mutate", "Alien", "human and", "other")
ORIGIN_SHARES = {
    "616": (0.12, 0.45, 0.07, 0.035, 0.015, 0.02, 0.06, 0.23),
    "other": (0.185, 0.31, 0.095, 0.065, 0.03, 0.015, 0.075, 0.225),
}
# Factors on the frequency of the origins, by identity.
ORIGIN_RATIOS = {
    "": (1.90, 0.57, 1.09, 0.89, 0.89, 0.57, 1.10, 1.16),
    "Public": (0.65, 1.45, 0.76, 0.47, 0.47, 1.02, 1.41, 1.07),
    "Secret": (1.05, 0.53, 1.45, 2.00, 2.00, 1.24, 0.31, 0.80),
}
FOOTNOTE_SHARE = 0.02
FOOTNOTES = 6
COMMA_SHARE = 0.022
PIPE_SHARE = 0.003
QUOTE_SHARE = 0.004

# Probability that a height is filled in, by the number of teams (the last is for 4 and more), and
# its factors by universe and marital status.
HEIGHT_FILLED = (0.012, 0.055, 0.13, 0.29, 0.65)
HEIGHT_RATIOS = {"616": 1.3, "other": 0.65}
HEIGHT_RATIOS_BY_MARITAL = {
    "": 0.55, "Single": 1.4, "Married": 1.3, "Widowed": 3.0, "Widow": 3.0, "Engaged": 1.3,
}  # fmt: skip
WEIGHT_GIVEN_HEIGHT = 0.86
WEIGHT_ALONE = 0.002
HEIGHT_MEDIAN, HEIGHT_SPREAD = 1.78, 0.09
WEIGHT_MEDIAN, WEIGHT_SPREAD = 79.0, 0.33
GIANT_SHARE, MAX_HEIGHT, MAX_WEIGHT = 0.05, 18.29, 499.0

# Effects of the fields on the log odds of Alive.
EFFECTS: dict[str, Any] = {
    "616": -0.45,
    "temporary": 0.55,
    "realm": -0.45,
    "identity": {"": 0.15, "Public": -0.05, "Secret": 0.0},
    "gender": {"Male": 0.0, "Female": 0.12, "": 0.35, "free": -0.3},
    "marital": {
        "": 0.05, "Single": 0.05, "Married": -0.5, "Widowed": -1.1, "Widow": -1.1, "Engaged": -0.2,
    },
    "origin": {
        "": 0.40, "Human": 0.0, "Mutant": -0.35, "Human mutate": -0.1, "Human Mutate": -0.1,
        "Alien": -0.15, "human and": -0.45, "other": -0.1,
    },
    "extra_team": -0.12,
    "height": -0.35,
}  # fmt: skip
UNIVERSE_SPREAD = 1.25
FAMILY_SPREAD = 0.45


def pick(uniform: Floats, shares: Floats) -> Integers:
    """Sample positions of categories, shape (rows,), by inverse transform.

    `uniform` is from 0 to 1, shape (rows,); `shares` is (categories,) or (rows, categories).
    """
    edges = np.cumsum(shares, axis=-1)
    edges = edges / edges[..., -1:]
    return np.minimum((uniform[:, None] >= edges).sum(axis=1), edges.shape[-1] - 1)


def look_up(values: Mapping[str, Any], categories: Sequence[str], positions: Integers) -> Floats:
    """Return the values of categories that are given by position."""
    return np.array([values[name] for name in categories])[positions]
