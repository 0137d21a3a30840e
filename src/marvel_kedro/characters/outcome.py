"""The outcome, Alive or Dead: a logistic model of the traits, and the effect of drift on it."""

from dataclasses import dataclass

import numpy as np

from marvel_kedro.characters import marginals, vocabulary
from marvel_kedro.characters.marginals import Floats, Integers, look_up
from marvel_kedro.simulation.world import DriftOptions

_PRIOR_FALL = 0.32  # decrease of the share of Alive at magnitude 1 of prior drift

DRIFT_EVENTS = {
    "none": "no drift",
    "covariate": "covariate drift: other universes, more secret identities and mutants",
    "prior": "prior drift: fewer characters are alive",
    "concept": "concept drift: inputs have other outcomes than before",
}
"""What drift does, by scenario."""


@dataclass(frozen=True)
class Traits:
    """Fields of rows as positions in the tables of `marginals`, each of shape (rows,)."""

    family: Integers
    universe: Integers
    identity: Integers
    gender: Integers
    marital: Integers
    origin: Integers
    teams: Integers
    height: Floats
    weight: Floats
    family_effect: Floats


@dataclass(frozen=True)
class OutcomeModel:
    """The logistic model."""

    shift: float  # covariate shift of the inputs, from 0 to 1
    slope: float  # factor on the effects of the inputs, from 1 to -1
    intercept: float  # the log odds where all effects are 0
    universe_effects: Floats  # log odds by universe

    @classmethod
    def calibrated(cls, drift: DriftOptions, pilot: Traits, seed: int) -> "OutcomeModel":
        """Fit the intercept so that the pilot rows have the required share of Alive."""
        size = drift.size
        generator = np.random.default_rng([seed, 1, 1])
        universes = generator.normal(0, marginals.UNIVERSE_SPREAD, marginals.UNIVERSES)
        universes[0] = 0.0  # Earth-616 has its own effect
        slope = 1 - 2 * size if drift.scenario == "concept" else 1.0
        fall = _PRIOR_FALL * size if drift.scenario == "prior" else 0.0
        shift = size if drift.scenario == "covariate" else 0.0
        effects = slope * _log_odds(pilot, universes)
        return cls(shift, slope, _intercept(effects, marginals.ALIVE_SHARE - fall), universes)

    def probabilities(self, traits: Traits) -> Floats:
        """Return the probability of Alive for each row."""
        return _logistic(self.intercept + self.slope * _log_odds(traits, self.universe_effects))


def _log_odds(traits: Traits, universe_effects: Floats) -> Floats:
    """Sum the effects of the traits on the log odds of Alive."""
    effects = marginals.EFFECTS
    recurring = vocabulary.universes()
    kinds = np.array([_universe_effect(name) for name in recurring])
    by_universe = np.append(kinds + universe_effects, effects["temporary"])
    total = by_universe[np.minimum(traits.universe, len(recurring))]
    total += look_up(effects["identity"], marginals.IDENTITY, traits.identity)
    total += look_up(effects["gender"], marginals.GENDER, traits.gender)
    total += look_up(effects["marital"], marginals.MARITAL, traits.marital)
    total += look_up(effects["origin"], marginals.ORIGIN, traits.origin)
    total += effects["extra_team"] * np.maximum(traits.teams - 1, 0)
    total += effects["height"] * ~np.isnan(traits.height)
    return total + traits.family_effect


def _universe_effect(name: str) -> float:
    effects: dict[str, float] = marginals.EFFECTS
    if name == "Earth-616":
        return effects["616"]
    if name.startswith("Earth-TRN"):
        return effects["temporary"]
    return 0.0 if name.startswith("Earth-") else effects["realm"]


def _logistic(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def _intercept(effects: Floats, share: float) -> float:
    """Find by bisection the intercept at which the mean probability is `share`."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if _logistic(middle + effects).mean() < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
