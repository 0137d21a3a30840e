"""A small random `inference_log` with nulls, NaN, infinity and values beyond the bounds."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa

from marvel_kedro.monitoring.options import MonitoringOptions

START = datetime(2026, 3, 27, tzinfo=UTC)  # clocks in Europe change on the 29th

OPTIONS = MonitoringOptions(
    now=START,
    granularities=("1 hour", "1 day", "1 week"),
    slices=("gender", "universe = 'Earth-616'"),
    columns={"name": "text", "universe": "category", "height": "number", "probability": "number"},
)


def make_log(rows: int = 3000, seed: int = 0) -> pa.Table:
    """Draw records of six days and two model versions."""
    generator = np.random.default_rng(seed)
    probability = generator.random(rows)
    return pa.table(
        {
            "request_time": pa.array(
                [START + timedelta(seconds=int(s)) for s in generator.integers(0, 6 * 86400, rows)],
                pa.timestamp("us", "UTC"),
            ),
            "model_version": [["1", "2"][i] for i in generator.integers(0, 2, rows)],
            "name": [["Ann", "Bob é", "", None][i] for i in generator.integers(0, 4, rows)],
            "universe": [["Earth-616", "é", None][i] for i in generator.integers(0, 3, rows)],
            "gender": [["Male", "Female", None][i] for i in generator.integers(0, 3, rows)],
            "height": pa.array(
                [[1.2345, 1.8, float("nan"), float("inf"), None, 1e300, -0.0][i]
                 for i in generator.integers(0, 7, rows)], pa.float64()),
            "prediction": ["Alive" if p >= 0.5 else "Dead" for p in probability],
            "probability": probability,
            "alive": [["Alive", "Dead", None][i] for i in generator.integers(0, 3, rows)],
        }
    )  # fmt: skip
