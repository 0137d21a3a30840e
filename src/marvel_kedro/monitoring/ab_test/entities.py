"""Traffic, errors, latency and model performance of one served entity."""

from http import HTTPStatus
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.model import evaluation
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.monitoring.inference_log.parsing import ANSWERED
from marvel_kedro.monitoring.options import ABTestOptions

METRICS = ("roc_auc", "log_loss", "accuracy", "ece")


def measure(
    entity: Any,  # noqa: ANN401 - a named tuple of pandas
    requests: pd.DataFrame,
    records: pd.DataFrame,
    options: ABTestOptions,
    positive: str,
) -> dict[str, Any]:
    """Measure a served entity, a row of `data.name_entities`, as a row of the table `ab_entities`.

    Requests and scored records are those of all entities; records have labels. `positive` is the
    class of the probability.
    """
    own = requests[requests["entity"] == entity.entity]
    status = own["status_code"]
    throttled = float((status == HTTPStatus.TOO_MANY_REQUESTS).mean())
    latency = own.loc[status == ANSWERED, "execution_duration_ms"].dropna()
    scored = records[records["entity"] == entity.entity]
    labelled = scored[scored["label"].notna()]
    return {
        "entity": entity.entity,
        "served_entity_name": entity.served_entity_name,
        "entity_version": entity.entity_version,
        "served_entity_id": entity.Index,
        "requests": len(own),
        "traffic_share": len(own) / requests["entity"].notna().sum(),
        "refused_share": float(status.between(400, 499).mean() - throttled),
        "throttled_share": throttled,
        "failed_share": float((status >= HTTPStatus.INTERNAL_SERVER_ERROR).mean()),
        **{f"latency_p{p}_ms": float(latency.quantile(p / 100)) for p in (50, 95, 99)},
        "scored_records": len(scored),
        "labelled_records": len(labelled),
        "clusters": labelled["client"].nunique(),
        **_performance(labelled, options, positive),
    }


def _performance(labelled: pd.DataFrame, options: ABTestOptions, positive: str) -> dict[str, float]:
    """Compute metrics, with intervals by a bootstrap over clients, whose records correlate."""
    ends = {"": "value", "_low": "low", "_high": "high"}
    if labelled.empty:
        return {f"{name}{end}": np.nan for name in METRICS for end in ends}
    predicted = labelled.loc[labelled["prediction"] == positive, "probability"]
    table = evaluation.evaluate(
        (labelled["label"] == positive).to_numpy(),
        {"entity": labelled["probability"].to_numpy(dtype=np.float64)},
        pd.DataFrame(index=labelled.index),
        EvaluationOptions(
            seed=options.seed,
            resamples=options.resamples,
            confidence=options.confidence,
            calibration_bins=options.calibration_bins,
        ),
        # The model's threshold, as its answers show it.
        float(predicted.min()) if len(predicted) else np.inf,
        cluster=pd.factorize(labelled["client"])[0].astype(np.int64),
    ).set_index("metric")
    return {
        f"{name}{end}": float(table[column][name])
        for name in METRICS
        for end, column in ends.items()
    }
