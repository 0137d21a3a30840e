"""Print NannyML's estimates for `scenario.py`, as stored in `test_performance_estimation.py`.

NannyML requires another pandas than this project. In an environment of its own, such as one of
Python 3.11 with `nannyml==0.13.1`, `statsmodels` and `setuptools<80`, run
`PYTHONPATH=tests python tests/support/nannyml_figures.py`.
"""

import json
import os
import warnings

import pandas as pd
from support.scenario import CHUNK, reference_and_chunks

os.environ["NML_DISABLE_USAGE_LOGGING"] = "1"
warnings.filterwarnings("ignore")

import nannyml  # type: ignore[import-not-found] # noqa: E402 - it reads the variable on import

METRICS = ["roc_auc", "accuracy"]


def figures(*, calibrated: bool) -> dict[str, object]:
    """Return estimates and realised values by chunk, and NannyML's decision to calibrate."""
    reference, chunks = reference_and_chunks(calibrated=calibrated)
    known, *later = (
        pd.DataFrame(each).astype({"predicted": int, "alive": int}) for each in (reference, *chunks)
    )
    estimator = nannyml.CBPE(
        metrics=METRICS,
        y_pred_proba="probability",
        y_pred="predicted",
        y_true="alive",
        problem_type="classification_binary",
        chunk_size=CHUNK,
    )
    estimator.fit(known)
    estimated = estimator.estimate(pd.concat(later, ignore_index=True))
    found = estimated.filter(period="analysis").to_df()
    return {
        "calibrates": bool(estimator.needs_calibration),
        **{
            f"{metric} {kind}": found[(metric, kind)].round(6).tolist()
            for metric in METRICS
            for kind in ("value", "realized")
        },
    }


if __name__ == "__main__":
    print(nannyml.__version__)
    for calibrated in (True, False):
        print(calibrated, json.dumps(figures(calibrated=calibrated), indent=1))
