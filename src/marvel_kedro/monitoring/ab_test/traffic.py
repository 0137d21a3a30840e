"""Traffic by served entity: requests by day, and the check of the configured split."""

from typing import Any

import pandas as pd

from marvel_kedro.monitoring.ab_test.data import client
from marvel_kedro.monitoring.ab_test.sequential_test import mismatch
from marvel_kedro.monitoring.options import ABTestOptions


def requests_by_day(requests: pd.DataFrame, entities: list[str]) -> pd.DataFrame:
    """Count requests by day (rows) and entity (columns)."""
    known = requests[requests["entity"].notna()]
    counts = pd.crosstab(known["request_time"].dt.floor("D"), known["entity"])
    if counts.empty:
        return pd.DataFrame(columns=entities)
    days = pd.date_range(counts.index.min(), counts.index.max())
    return counts.reindex(index=days, columns=entities, fill_value=0)


def check_split(
    requests: pd.DataFrame, names: pd.DataFrame, options: ABTestOptions
) -> dict[str, Any]:
    """Test whether traffic follows the configured split; a client counts once in each period."""
    splits = sorted(options.split, key=lambda split: split.since)
    if not splits:
        verdict = "not checked: ab_test.split is not set"
        return {"p_value": None, "as_described": None, "verdict": verdict}
    counts, shares, periods = [], [], []
    known = requests[requests["entity"].notna()].assign(
        name=lambda rows: rows["served_entity_id"].map(names["served_entity_name"]), client=client
    )
    starts = [pd.Timestamp(split.since) for split in splits]
    ends = [*starts[1:], pd.Timestamp.max.tz_localize("UTC")]
    for split, start, end in zip(splits, starts, ends, strict=True):
        inside = known[(known["request_time"] >= start) & (known["request_time"] < end)]
        found = inside.drop_duplicates("client")["name"].value_counts()
        entities = sorted({*split.traffic, *found.index})
        counts.append([int(found.get(name, 0)) for name in entities])
        total = sum(split.traffic.values())
        shares.append([split.traffic.get(name, 0) / total for name in entities])
        periods.append(
            {
                "since": split.since.isoformat(),
                "clusters": dict(zip(entities, counts[-1], strict=True)),
                "expected_shares": dict(zip(entities, shares[-1], strict=True)),
            }
        )
    chance = mismatch(counts, shares)
    fits = chance >= options.alpha
    return {
        "p_value": chance,
        "as_described": fits,
        "verdict": "as configured" if fits else "not as configured: find the reason first",
        "periods": periods,
    }
