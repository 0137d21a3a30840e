"""A seeded data set for estimates of quality; numpy only, so that any environment can make it."""

from typing import Any

import numpy as np

REFERENCE, CHUNK, CHUNKS = 6000, 1000, 3


def reference_and_chunks(*, calibrated: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Probabilities on the grid of the counts, predictions from 0.5 on, and labels.

    Uncalibrated ones are too sure of themselves: what they say is further from a half than what
    happens. From chunk to chunk the records are harder to tell apart.
    """
    generator = np.random.default_rng(2026)

    def draw(rows: int, spread: float) -> dict[str, Any]:
        logit = generator.normal(0.4, spread, rows)
        chance = 1 / (1 + np.exp(-logit))
        said = chance if calibrated else 1 / (1 + np.exp(-2.5 * logit))
        probability = np.round(said, 4)
        alive = generator.random(rows) < chance
        return {"probability": probability, "predicted": probability >= 0.5, "alive": alive}

    chunks = [draw(CHUNK, spread) for spread in np.linspace(1.2, 0.6, CHUNKS)]
    return draw(REFERENCE, 1.2), chunks
