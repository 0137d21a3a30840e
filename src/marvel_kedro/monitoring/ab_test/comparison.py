"""Comparison of served entities with the champion, and the verdict of the A/B test.

Differences are judged by `sequential_test`, so the result may be read every day. The unit of
comparison is the client, since a client stays with its served entity: all records of a
`client_request_id`, or of a request that has none, are one cluster.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.monitoring.ab_test import data, entities, traffic
from marvel_kedro.monitoring.ab_test.sequential_test import Bounds, always_valid, estimate
from marvel_kedro.monitoring.inference_log.parsing import InferenceLog
from marvel_kedro.monitoring.options import ABTestOptions
from marvel_kedro.table.description import TableSpec

GAINS = ("log_loss", "accuracy")
"""Metrics of the comparison; the first one decides. A gain is positive where it is better."""

CHALLENGER, CHAMPION, NEITHER = "challenger is better", "champion is better", "no difference yet"
_VERDICTS = {
    CHALLENGER: "{challenger} is better than {champion}: {reason}.",
    CHAMPION: "{champion} is better than {challenger}: {reason}.",
    NEITHER: "No difference yet between {challenger} and {champion}: {reason}.",
}
HISTORY_COLUMNS = [
    *("entity", "metric", "day", "gain", "low", "high", "p_value"),
    *("clusters", "champion_clusters"),
]


@dataclass(frozen=True)
class ABTestResult:
    """The result of an A/B test analysis.

    Attributes:
        report: The result as a JSON object.
        entities: One row a served entity: traffic, errors, latency, and performance with intervals.
        history: The comparisons as of the end of each day: `HISTORY_COLUMNS`.
        traffic: Requests by day (rows) and entity (columns).
    """

    report: dict[str, Any]
    entities: pd.DataFrame
    history: pd.DataFrame
    traffic: pd.DataFrame


def compare(
    log: InferenceLog,
    served: pd.DataFrame,
    labels: pd.DataFrame,
    options: ABTestOptions,
    table: TableSpec,
) -> ABTestResult:
    """Measure every served entity and compare the others with the champion.

    `served` has `data.SERVED_COLUMNS`; `labels`, which may be empty, has at most one row a key,
    with one of the classes.
    """
    names = data.name_entities(log.requests, served, options)
    requests = data.within(log.requests, options)
    records = data.add_labels(data.within(log.records, options), labels, table)
    for rows in (requests, records):
        rows["entity"] = rows["served_entity_id"].map(names["entity"])
    present = names[names["entity"].isin(requests["entity"])]
    measured = pd.DataFrame(
        [
            entities.measure(row, requests, records, options, table.target.positive)
            for row in present.itertuples()
        ]
    )
    daily = traffic.requests_by_day(requests, list(present["entity"]))
    newest, champion, others = _find_test(present, daily, options.champion)
    version = dict(zip(present["entity"], present["entity_version"].fillna(""), strict=True))
    labelled = records[records["label"].notna()]
    pairs = {other: labelled[labelled["entity"].isin([champion, other])] for other in others}
    histories = [
        _history(pair, other, metric, options.alpha / len(others), options)
        for other, pair in pairs.items()
        for metric in GAINS
    ]
    empty = pd.DataFrame(columns=HISTORY_COLUMNS)
    history = pd.concat(histories, ignore_index=True) if histories else empty
    comparisons = [
        _comparison(other, str(champion), history, options)
        | {"challenger_version": version[other], "champion_version": version[str(champion)]}
        for other in others
    ]
    last = daily.index[(daily[[champion, *others]] > 0).sum(axis=1) > 1].max() if others else None
    ended = ""
    if last is not None and last < daily.index[-1]:
        ended = f" The test ended on {last.date()}; since then {newest} answers."
    check = traffic.check_split(requests, names, options)
    reasons = data.within(log.rejected, options)["reason"].value_counts().to_dict()
    report = {
        "table": table.name,
        "first_request": _iso(requests["request_time"].min()),
        "last_request": _iso(requests["request_time"].max()),
        "requests": len(requests),
        "requests_of_no_entity": int(requests["entity"].isna().sum()),
        "scored_records": len(records),
        "labelled_records": len(labelled),
        "requests_without_records": reasons,
        "champion": champion,
        "newest_champion": newest,
        "last_day": None if last is None else last.date().isoformat(),
        "alpha": options.alpha,
        "verdict": _verdict(comparisons, champion, len(labelled), check) + ended,
        "comparisons": comparisons,
        "traffic_check": check,
        "one_class": data.one_class(records),
        "entities": [
            {str(name): _finite(value) for name, value in row.items()}
            for row in measured.to_dict(orient="records")
        ],
    }
    return ABTestResult(report, measured, history, daily)


def newest_comparison(
    report: dict[str, Any], challenger: str, champion: str | None
) -> dict[str, Any] | None:
    """Return the comparison of two versions in a report; None if it has none."""
    for found in report["comparisons"]:
        if (found["challenger_version"], found["champion_version"]) == (challenger, champion):
            return dict(found)
    return None


def describe(found: dict[str, Any] | None) -> str:
    """Describe a comparison in a few words."""
    if found is None or found.get("log_loss_low") is None:
        return "too few labels to compare"
    pvalue = p_value(found["log_loss_p_value"])
    return f"{found['verdict']} (gain in log loss {found['log_loss_gain']:+.3f}, p {pvalue})"


def p_value(value: float) -> str:
    """Format a p-value to the fourth decimal, with its relation."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"  # noqa: PLR2004 - as it says


def _find_test(
    present: pd.DataFrame, daily: pd.DataFrame, name: str
) -> tuple[str | None, str | None, list[str]]:
    """Find the newest test: a version under the champion's name, and those compared with it.

    A test stays readable after its end. When the challenger has won, its version answers under the
    champion's name and has no other one to be compared with: the test is that of the champion
    before. Two entities of one version are the same model, and no comparison.

    Returns:
        The latest entity of the champion's name that had requests, that of the newest test, and
        the entities that had requests on a day on which the latter had some.
    """
    rows = present.set_index("entity")
    champions = [str(entity) for entity in rows.index[rows["served_entity_name"] == name]]
    if not champions:
        return None, None, []
    others = {champion: _others(daily, champion, rows["entity_version"]) for champion in champions}
    for names in ([*rows.index.difference(champions)], champions):
        for champion, found in others.items():
            if chosen := [other for other in found if other in names]:
                return champions[0], champion, chosen
    return champions[0], champions[0], []


def _others(daily: pd.DataFrame, champion: str, version: "pd.Series[str]") -> list[str]:
    """Return the entities of other versions with requests on a day on which one had some."""
    shared = (daily[daily[champion] > 0] > 0).any()
    found = [str(name) for name in daily.columns[shared] if name != champion]
    return [name for name in found if version[name] != version[champion] or not version[name]]


def _history(
    pair: pd.DataFrame, other: str, metric: str, alpha: float, options: ABTestOptions
) -> pd.DataFrame:
    """Compare two entities as of the end of each day, with the labels known by then.

    `pair` has the labelled records of the champion and the other; `alpha` is the probability of a
    false alarm in this comparison.
    """
    value = pair[metric].to_numpy(dtype=np.float64)
    second = (pair["entity"] == other).to_numpy()
    day = (pair["day"] - pair["day"].min()).dt.days.to_numpy(dtype=np.int64)
    cluster = pd.factorize(pair["client"])[0].astype(np.int64)
    rows = []
    for known in pd.date_range(pair["known"].min(), pair["known"].max()) if len(pair) else ():
        by_then = (pair["known"] <= known).to_numpy()
        found = estimate(value[by_then], second[by_then], day[by_then], cluster[by_then])
        bounds = Bounds(-np.inf, np.inf, 1.0)
        if min(found.first, found.second) >= options.min_clusters:
            bounds = always_valid(found, getattr(options.expected_gain, metric), alpha)
        rows.append((other, metric, known.date(), found.gain, *bounds, found.second, found.first))
    return pd.DataFrame(rows, columns=HISTORY_COLUMNS)


def _comparison(
    other: str, champion: str, history: pd.DataFrame, options: ABTestOptions
) -> dict[str, Any]:
    found: dict[str, Any] = {"challenger": other, "champion": champion, "verdict": NEITHER}
    figures = ("gain", "low", "high", "p_value")
    for metric in GAINS:
        rows = history[(history["entity"] == other) & (history["metric"] == metric)]
        if rows.empty:
            return found | {"reason": "neither has labelled records"}
        last = rows.iloc[-1].to_dict()
        found |= {name: int(last[name]) for name in ("clusters", "champion_clusters")}
        found |= {f"{metric}_{name}": _finite(last[name]) for name in figures}
    least = min(found["clusters"], found["champion_clusters"])
    gain, low, high, pvalue = (found[f"{GAINS[0]}_{name}"] for name in figures)
    if not least:
        reason = "the two have no labelled records of the same day"
    elif least < options.min_clusters:
        reason = (
            f"{least:,} labelled clients on the smaller side, fewer than ab_test.min_clusters "
            f"({options.min_clusters:,})"
        )
    elif low is None or high is None:
        reason = "all records have the same loss"
    else:
        reason = f"gain in log loss {gain:+.4f} ({low:+.4f} to {high:+.4f}), p {p_value(pvalue)}"
        found["verdict"] = CHALLENGER if low > 0 else CHAMPION if high < 0 else NEITHER
    return found | {"reason": reason}


def _verdict(
    comparisons: list[dict[str, Any]], champion: str | None, labelled: int, check: dict[str, Any]
) -> str:
    if champion is None:
        return "The champion has no requests: there is no comparison."
    if not comparisons:
        return f"No other entity had requests on a day of {champion}: there is no comparison."
    if not labelled:
        return "No labels yet: only traffic, errors and latency are compared."
    sentences = [_VERDICTS[found["verdict"]].format(**found) for found in comparisons]
    if check["as_described"] is False:
        sentences.append(
            "But the traffic is not as configured, so the entities may differ in other ways."
        )
    return " ".join(sentences)


def _finite(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _iso(time: pd.Timestamp) -> str | None:
    return None if pd.isna(time) else time.isoformat(timespec="seconds")
