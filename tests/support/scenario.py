"""Seeded data for performance estimation; NumPy only, so that any environment can make it."""

from typing import Any

import numpy as np

REFERENCE, CHUNK, CHUNKS = 6000, 1000, 3


def reference_and_chunks(*, calibrated: bool) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Draw probabilities on the grid of the counts, predictions at 0.5, and labels.

    Uncalibrated probabilities are overconfident: further from 0.5 than the labels. The records get
    harder to tell apart from chunk to chunk.
    """
    generator = np.random.default_rng(2026)

    def draw(rows: int, spread: float) -> dict[str, Any]:
        logit = generator.normal(0.4, spread, rows)
        chance = 1 / (1 + np.exp(-logit))
        stated = chance if calibrated else 1 / (1 + np.exp(-2.5 * logit))
        probability = np.round(stated, 4)
        alive = generator.random(rows) < chance
        return {"probability": probability, "predicted": probability >= 0.5, "alive": alive}

    chunks = [draw(CHUNK, spread) for spread in np.linspace(1.2, 0.6, CHUNKS)]
    return draw(REFERENCE, 1.2), chunks
