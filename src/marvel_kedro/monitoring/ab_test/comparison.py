"""Served entities side by side: what each did, and whether a difference in quality is real.

That is judged by `sequential_test`, which may be read every day. What is compared are clients,
since a client stays with the entity that it was given: all records of a `client_request_id`, or of
a request that has none, are one cluster.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.model import evaluation, metrics
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.monitoring.ab_test.sequential_test import Bounds, always_valid, estimate, mismatch
from marvel_kedro.monitoring.inference_log.parsing import ANSWERED, InferenceLog
from marvel_kedro.monitoring.options import ABTestOptions

METRICS = ("roc_auc", "log_loss", "accuracy", "ece")
GAINS = ("log_loss", "accuracy")
"""What entities are compared by; the first one decides. A gain is positive where it is better."""

TOO_MANY, SERVER_FAULT = 429, 500
CHALLENGER, CHAMPION, NEITHER = (
    "challenger is better",
    "champion is better",
    "no difference yet",
)
HISTORY_COLUMNS = [
    *("entity", "metric", "day", "gain", "low", "high", "p_value"),
    *("clusters", "champion_clusters"),
]


@dataclass(frozen=True)
class Reading:
    """What one reading found.

    Attributes:
        report: Everything in one dictionary that JSON can say.
        entities: One row a served entity: traffic, errors, latency and quality with intervals.
        history: The comparisons at the end of each day, by what was known then: `HISTORY_COLUMNS`.
        traffic: Requests by day (rows) and entity (columns).
    """

    report: dict[str, Any]
    entities: pd.DataFrame
    history: pd.DataFrame
    traffic: pd.DataFrame


def read(
    log: InferenceLog, served: pd.DataFrame, labels: pd.DataFrame, options: ABTestOptions
) -> Reading:
    """Measure every served entity and hold the others against the champion.

    Args:
        log: What was asked and answered.
        served: `served_entity_id`, `served_entity_name`, `entity_version`, `change_time`.
        labels: `page_id`, `alive` (Alive or Dead) and `labelled_at`; may be empty.
        options: How.
    """
    names = _names(log.requests, served, options)
    requests = _within(log.requests, options).assign(
        entity=lambda rows: rows["served_entity_id"].map(names["entity"])
    )
    records = _labelled(_within(log.records, options), labels).assign(
        entity=lambda rows: rows["served_entity_id"].map(names["entity"])
    )
    rejected = _within(log.rejected, options)
    present = names[names["entity"].isin(requests["entity"])]
    entities = pd.DataFrame(
        [_measure(row, requests, records, options) for row in present.itertuples()]
    )
    champion = _champion(present, options)
    traffic = _traffic(requests, list(present["entity"]))
    others = _others(traffic, champion) if champion else []
    labelled = records[records["alive"].notna()]
    histories = [
        _history(
            labelled[labelled["entity"].isin([champion, other])],
            other,
            metric,
            options.alpha / len(others),
            options,
        )
        for other in others
        for metric in GAINS
    ]
    history = (
        pd.concat(histories, ignore_index=True)
        if histories
        else pd.DataFrame(columns=HISTORY_COLUMNS)
    )
    comparisons = [_comparison(other, str(champion), history, options) for other in others]
    check = _traffic_check(requests, names, options)
    times = requests["request_time"]
    report = {
        "first_request": _moment(times.min()),
        "last_request": _moment(times.max()),
        "requests": len(requests),
        "requests_of_no_entity": int(requests["entity"].isna().sum()),
        "scored_records": len(records),
        "labelled_records": int(records["alive"].notna().sum()),
        "requests_without_records": {
            str(reason): int(rows) for reason, rows in rejected["reason"].value_counts().items()
        },
        "champion": champion,
        "alpha": options.alpha,
        "verdict": _verdict(comparisons, champion, records, check),
        "comparisons": comparisons,
        "traffic_check": check,
        "entities": [_plain(row) for row in entities.to_dict(orient="records")],
    }
    return Reading(report, entities, history, traffic)


def _names(requests: pd.DataFrame, served: pd.DataFrame, options: ABTestOptions) -> pd.DataFrame:
    """By served entity id what people call it, the champion first, then the latest change."""
    newest = (
        served.sort_values("change_time")
        .drop_duplicates("served_entity_id", keep="last")
        .set_index("served_entity_id")
    )
    asked = pd.Index(requests["served_entity_id"].dropna().unique())
    unknown = pd.DataFrame(
        {
            "served_entity_name": [f"unknown {str(name)[:8]}" for name in asked],
            "entity_version": "",
        },
        index=asked,
    ).drop(index=newest.index, errors="ignore")
    names = pd.concat([newest, unknown]) if len(unknown) else newest
    version = names["entity_version"].fillna("").astype("str")
    names["entity"] = names["served_entity_name"].str.cat(
        version.where(version == "", " (version " + version + ")")
    )
    # Two models of one name and version: the id tells them apart.
    twice = names["entity"].duplicated(keep=False)
    short = pd.Series(names.index.astype("str").str[:8], index=names.index)
    names["entity"] = names["entity"].where(~twice, names["entity"] + " " + short)
    names["is_champion"] = names["served_entity_name"] == options.champion
    return names.sort_values(
        ["is_champion", "change_time", "entity"], ascending=[False, False, True]
    )


def _champion(present: pd.DataFrame, options: ABTestOptions) -> str | None:
    """The latest of those that had requests and the champion's name."""
    found = present[present["served_entity_name"] == options.champion]
    return str(found["entity"].iloc[0]) if len(found) else None


def _others(traffic: pd.DataFrame, champion: str) -> list[str]:
    """Those that had requests on a day on which the champion had some."""
    asked = traffic > 0
    return [
        str(name) for name in traffic if name != champion and (asked[name] & asked[champion]).any()
    ]


def _within(rows: pd.DataFrame, options: ABTestOptions) -> pd.DataFrame:
    day = rows["request_time"].dt.date
    inside = pd.Series(data=True, index=rows.index)
    if options.since:
        inside &= day >= options.since
    if options.until:
        inside &= day <= options.until
    return rows[inside].reset_index(drop=True)


def _labelled(records: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Records with their label if there is one, its loss, and the day that both were known on."""
    found = records.merge(
        labels[["page_id", "alive", "labelled_at"]].dropna(subset=["page_id"]),
        on="page_id",
        how="left",
        validate="many_to_one",
    )
    alive = found["alive"].eq("Alive").to_numpy(dtype=bool, na_value=False)
    labelled_at = pd.to_datetime(found["labelled_at"], utc=True)
    known = found["request_time"].where(
        ~(labelled_at > found["request_time"]), labelled_at.astype(found["request_time"].dtype)
    )
    return found.assign(
        day=found["request_time"].dt.floor("D"),
        known=known.dt.floor("D"),
        log_loss=-metrics.losses(alive, found["probability"].to_numpy(dtype=np.float64)),
        accuracy=(found["prediction"] == found["alive"]).astype("float64"),
        client=found["client_request_id"].fillna(found["databricks_request_id"]),
    )


def _measure(
    entity: Any,  # noqa: ANN401 - a named tuple
    requests: pd.DataFrame,
    records: pd.DataFrame,
    options: ABTestOptions,
) -> dict[str, Any]:
    """One row of `entities`."""
    own = requests[requests["entity"] == entity.entity]
    status = own["status_code"]
    answered = own.loc[status == ANSWERED, "execution_duration_ms"].dropna()
    mine = records[records["entity"] == entity.entity]
    labelled = mine[mine["alive"].notna()]
    return {
        "entity": entity.entity,
        "served_entity_name": entity.served_entity_name,
        "entity_version": entity.entity_version,
        "served_entity_id": entity.Index,
        "requests": len(own),
        "traffic_share": len(own) / requests["entity"].notna().sum(),
        "refused_share": float(status.between(400, 499).mean() - (status == TOO_MANY).mean()),
        "throttled_share": float((status == TOO_MANY).mean()),
        "failed_share": float((status >= SERVER_FAULT).mean()),
        **{
            f"latency_p{percent}_ms": float(answered.quantile(percent / 100))
            for percent in (50, 95, 99)
        },
        "scored_records": len(mine),
        "labelled_records": len(labelled),
        "clusters": labelled["client"].nunique(),
        **_quality(labelled, options),
    }


def _quality(labelled: pd.DataFrame, options: ABTestOptions) -> dict[str, float]:
    """Each metric with its interval; clients are drawn, since their records hang together."""
    if labelled.empty:
        return {f"{name}{end}": np.nan for name in METRICS for end in ("", "_low", "_high")}
    said_alive = labelled.loc[labelled["prediction"] == "Alive", "probability"]
    table = evaluation.evaluate(
        (labelled["alive"] == "Alive").to_numpy(),
        {"entity": labelled["probability"].to_numpy(dtype=np.float64)},
        pd.DataFrame(index=labelled.index),
        EvaluationOptions(
            seed=options.seed,
            resamples=options.resamples,
            confidence=options.confidence,
            calibration_bins=options.calibration_bins,
        ),
        # From which probability on it said Alive: the model knows, and the answers show.
        float(said_alive.min()) if len(said_alive) else np.inf,
        cluster=pd.factorize(labelled["client"])[0].astype(np.int64),
    ).set_index("metric")
    return {
        f"{name}{end}": float(table[column][name])
        for name in METRICS
        for end, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    }


def _history(
    pair: pd.DataFrame, other: str, metric: str, alpha: float, options: ABTestOptions
) -> pd.DataFrame:
    """A comparison as each day's end saw it: with the requests and the labels known by then.

    Args:
        pair: The labelled records of the champion and of the other entity.
        other: Which of the two is held against the champion.
        metric: What they are compared by.
        alpha: The chance of a false alarm in this comparison.
        options: How.
    """
    value = pair[metric].to_numpy(dtype=np.float64)
    second = (pair["entity"] == other).to_numpy()
    day = (pair["day"] - pair["day"].min()).dt.days.to_numpy(dtype=np.int64)
    cluster = pd.factorize(pair["client"])[0].astype(np.int64)
    rows = []
    for known in pd.date_range(pair["known"].min(), pair["known"].max()) if len(pair) else ():
        by_then = (pair["known"] <= known).to_numpy()
        found = estimate(value[by_then], second[by_then], day[by_then], cluster[by_then])
        enough = min(found.first, found.second) >= options.min_clusters
        bounds = (
            always_valid(found, getattr(options.expected_gain, metric), alpha)
            if enough
            else Bounds(-np.inf, np.inf, 1.0)
        )
        rows.append(
            (other, metric, known.date(), found.gain, bounds.low, bounds.high, bounds.p_value,
             found.second, found.first)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=HISTORY_COLUMNS)


def _comparison(
    other: str, champion: str, history: pd.DataFrame, options: ABTestOptions
) -> dict[str, Any]:
    found: dict[str, Any] = {"challenger": other, "champion": champion, "verdict": NEITHER}
    for metric in GAINS:
        rows = history[(history["entity"] == other) & (history["metric"] == metric)]
        if rows.empty:
            return found | {"reason": "neither has labelled records"}
        last = rows.iloc[-1].to_dict()
        found["clusters"] = int(last["clusters"])
        found["champion_clusters"] = int(last["champion_clusters"])
        found |= {
            f"{metric}_{name}": _finite(last[name]) for name in ("gain", "low", "high", "p_value")
        }
    least = min(found["clusters"], found["champion_clusters"])
    metric = GAINS[0]
    low, high = found[f"{metric}_low"], found[f"{metric}_high"]
    if not least:
        reason = "the two have no labelled records of the same day"
    elif least < options.min_clusters:
        reason = (
            f"{least:,} labelled clients on the smaller side, and ab_test.min_clusters is "
            f"{options.min_clusters:,}"
        )
    elif low is None or high is None:
        reason = "all records have the same loss"
    else:
        reason = (
            f"gain in log loss {found[f'{metric}_gain']:+.4f} ({low:+.4f} to {high:+.4f}), "
            f"p {p_value(found[f'{metric}_p_value'])}"
        )
        found["verdict"] = CHALLENGER if low > 0 else CHAMPION if high < 0 else NEITHER
    return found | {"reason": reason}


def _verdict(
    comparisons: list[dict[str, Any]],
    champion: str | None,
    records: pd.DataFrame,
    check: dict[str, Any],
) -> str:
    if champion is None:
        return "The champion has no requests: there is nothing to compare with."
    if not comparisons:
        return f"Nobody else had requests on a day of {champion}: there is nothing to compare."
    if not records["alive"].notna().any():
        return "No labels yet: traffic, errors and latency alone are compared."
    by_verdict = {
        CHALLENGER: "{challenger} is better than {champion}: {reason}.",
        CHAMPION: "{champion} is better than {challenger}: {reason}.",
        NEITHER: "No difference yet between {challenger} and {champion}: {reason}.",
    }
    said = [by_verdict[found["verdict"]].format(**found) for found in comparisons]
    if check["as_described"] is False:
        said.append("But the traffic is not as described, so the sides may differ in more.")
    return " ".join(said)


def _traffic(requests: pd.DataFrame, entities: list[str]) -> pd.DataFrame:
    """Requests by day and entity."""
    known = requests[requests["entity"].notna()]
    counts = pd.crosstab(known["request_time"].dt.floor("D"), known["entity"])
    if counts.empty:
        return pd.DataFrame(columns=entities)
    days = pd.date_range(counts.index.min(), counts.index.max())
    return counts.reindex(index=days, columns=entities, fill_value=0)


def _traffic_check(
    requests: pd.DataFrame, names: pd.DataFrame, options: ABTestOptions
) -> dict[str, Any]:
    """Whether requests went where they were meant to go; a client counts once a period."""
    splits = sorted(options.split, key=lambda split: split.since)
    if not splits:
        verdict = "not checked: ab_test.split does not say what it was to be"
        return {"p_value": None, "as_described": None, "verdict": verdict}
    counts, shares, periods = [], [], []
    asked = requests[requests["entity"].notna()].assign(
        name=lambda rows: rows["served_entity_id"].map(names["served_entity_name"]),
        client=lambda rows: rows["client_request_id"].fillna(rows["databricks_request_id"]),
    )
    ends = [
        *(pd.Timestamp(split.since) for split in splits[1:]),
        pd.Timestamp.max.tz_localize("UTC"),
    ]
    for split, end in zip(splits, ends, strict=True):
        time = asked["request_time"]
        inside = asked[(time >= pd.Timestamp(split.since)) & (time < end)]
        found = inside.drop_duplicates("client")["name"].value_counts()
        entities = sorted({*split.traffic, *found.index})
        wanted = [split.traffic.get(name, 0) / sum(split.traffic.values()) for name in entities]
        counts.append([int(found.get(name, 0)) for name in entities])
        shares.append(wanted)
        periods.append(
            {
                "since": split.since.isoformat(),
                "clusters": dict(zip(entities, counts[-1], strict=True)),
                "expected_shares": dict(zip(entities, wanted, strict=True)),
            }
        )
    chance = mismatch(counts, shares)
    fits = chance >= options.alpha
    return {
        "p_value": chance,
        "as_described": fits,
        "verdict": "as described" if fits else "not as described: look for the reason first",
        "periods": periods,
    }


def p_value(value: float) -> str:
    """A p value to be read: beyond four digits nobody can tell."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"  # noqa: PLR2004 - as it says


def _finite(value: Any) -> Any:  # noqa: ANN401 - a cell
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): _finite(value) for name, value in row.items()}


def _moment(time: pd.Timestamp) -> str | None:
    return None if pd.isna(time) else time.isoformat(timespec="seconds")
