"""Choose the probability at or above which the prediction is the positive class."""

import numpy as np

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.model.options import Costs, Threshold


def choose_threshold(positive: Flags, out_of_fold_probability: Floats, policy: Threshold) -> float:
    """Choose a threshold by a policy of the section `training.fit`.

    Args:
        positive: The labels of the training rows, shape (rows,).
        out_of_fold_probability: Their probabilities by models that were not trained on them. A
            number as policy needs none: the array may be empty.
        policy: A number, `max_f1` or costs.

    Returns:
        A threshold above 0 and below 1. It lies in the middle between two neighbouring
        probabilities, so that rounding changes no prediction. Of equally good ones it is the one
        closest to the optimum of calibrated probabilities or, for `max_f1`, to 0.5.
    """
    if isinstance(policy, float):
        return policy
    # By descending threshold: each step predicts one more distinct probability as positive.
    score, member = np.unique(-out_of_fold_probability, return_inverse=True)
    rows = np.bincount(member, minlength=len(score))
    hits = np.r_[0, np.cumsum(np.bincount(member, positive, minlength=len(score)))]
    predicted = np.r_[0, np.cumsum(rows)]
    false_positives, misses = predicted - hits, hits[-1] - hits
    if isinstance(policy, Costs):
        target = policy.false_positive / (policy.false_positive + policy.false_negative)
        # Shares of the costs, since sums of large costs overflow.
        value = -(target * false_positives + (1 - target) * misses)
    else:
        target = 0.5
        value = hits / np.maximum(predicted + hits[-1], 1)
    edges = np.r_[1.0, -score, 0.0]
    middles = (edges[:-1] + edges[1:]) / 2
    inside = (middles > 0) & (middles < 1)  # not where a probability is exactly 0 or 1
    best = inside & np.isclose(value, value[inside].max(initial=-np.inf), rtol=1e-12, atol=0)
    return float(min(middles[best], key=lambda each: abs(each - target), default=target))
