"""Measure false alarms and power of the default alert rules, and of Evidently's defaults.

The data is one synthetic world. A model is trained on it once; its test rows are the baseline. A
seed is two windows (days) of other rows of that world, which no other seed has, with all labels
known. They go through aggregation, drift metrics, performance estimation and the rules of
conf/base/alerting on drift or performance.

False alarms are the windows without drift that any alert covers, of any rule and column. Power is
the share of seeds with an open alert after the second window. The cost of a drift is the mean ROC
AUC of the windows without drift minus that of the drifted ones.

Evidently (DataDriftPreset, defaults) gets the second windows of the first seeds and the same
columns except `name`, which is free text. It requires pandas below 3: --evidently names a Python
that has it, else an environment is made with uv.
"""

import argparse
import json
import subprocess
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from arguments import parse
from main_job import HERE
from monitoring import evidently_python
from scipy import stats
from table import TABLE

from marvel_kedro.characters.synthetic import chunks
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation.grouping import aggregate, aggregate_baseline
from marvel_kedro.monitoring.aggregation.scales import fit_scales
from marvel_kedro.monitoring.alerting import evaluation, lifecycle
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, Table
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.performance_estimation import quality_estimates
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.simulation.world import MAX_ROWS, DriftOptions, SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.local_engine import relation
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import split_table

MAGNITUDES = {
    "covariate": (0.1, 0.25, 0.5, 1.0),
    "prior": (0.5, 1.0),
    "concept": (0.05, 0.07, 0.1, 0.15, 0.2, 0.25, 0.5),
}
FALSE_ALARMS, POWER, COST = 0.05, 0.95, 0.02
"""The aims: at most these false alarms, and at least this power at this cost in ROC AUC."""
WORLD, OTHER_ROWS = 42, 1
VERSION = "1"
WINDOWS = 2
"""The rules on labels require two in a row."""
AT_ONCE = 100_000
"""Records that are aggregated together."""
START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass
class Outcome:
    """Results of the seeds of a scenario and magnitude.

    Attributes:
        areas: Realised ROC AUC by window.
        covered: Number of windows that any alert covers.
        fired: Number of seeds with an open alert after the last window, by rule.
        columns: Number of seeds with an open alert on a column, by column.
        seen: Seeds with any open alert.
        for_evidently: The last windows of the first seeds.
    """

    areas: list[float] = field(default_factory=list)
    covered: int = 0
    fired: dict[str, int] = field(default_factory=dict)
    columns: dict[str, int] = field(default_factory=dict)
    seen: int = 0
    for_evidently: list[pd.DataFrame] = field(default_factory=list)


class Monitor:
    """A model, its baseline and the rules.

    Args:
        rows: Synthetic rows to train and test on.
    """

    def __init__(self, rows: int) -> None:
        raw = pd.concat(chunks(SyntheticOptions(rows=rows, seed=WORLD)), ignore_index=True)
        characters = select_usable(read_source(raw, TABLE), TABLE).reset_index(drop=True)
        train, test = split_table(characters, TABLE, SplitOptions())
        self.model = fit(train, TABLE, FitOptions())
        self.options = _monitoring()
        self.rules = _alerting()
        self.reference = score(self.model, test)
        tested = pa.Table.from_pandas(
            self.reference, tables.monitoring_baseline(TABLE), preserve_index=False
        )
        self.scales = fit_scales(relation(tested), self.options)
        self.baseline = aggregate_baseline(
            relation(tested), self.options, TABLE.target, self.scales
        )

    def watch(self, drift: DriftOptions, options: argparse.Namespace) -> Outcome:
        """Monitor the seeds of a scenario."""
        found = Outcome()
        seeds_at_once = max(1, AT_ONCE // (WINDOWS * options.records))
        rows = other_rows(drift, options.seeds * WINDOWS * options.records, options.pool)
        for first in range(0, options.seeds, seeds_at_once):
            seeds = min(seeds_at_once, options.seeds - first)
            size = WINDOWS * options.records
            records = score(self.model, rows.iloc[first * size : (first + seeds) * size])
            records["window"] = np.arange(len(records)) // options.records
            self._add(found, records, seeds)
            compared = range(min(seeds, options.evidently_seeds - first))
            found.for_evidently += [
                records[records["window"] == WINDOWS * seed + WINDOWS - 1] for seed in compared
            ]
        return found

    def _add(self, found: Outcome, records: pd.DataFrame, seeds: int) -> None:
        days = START + pd.to_timedelta(records["window"], unit="D")
        log = pa.Table.from_pandas(records.assign(request_time=days), _LOG, preserve_index=False)
        groups = aggregate(relation(log), self.options, TABLE.target, self.scales)
        metrics: dict[Table, pa.Table] = {
            "profile_metrics": profile_metrics(groups, self.baseline, TABLE.target.classes),
            "drift_metrics": drift_metrics(groups, self.baseline),
            "quality_estimates": quality_estimates(groups, self.baseline, self.options.confidence),
        }
        areas = metrics["quality_estimates"].filter(pc.field("metric") == "roc_auc")
        found.areas += areas["realised"].to_pylist()
        for seed in range(seeds):
            begin = START + seed * WINDOWS * DAY
            end = begin + WINDOWS * DAY
            own = {name: _between(table, begin, end) for name, table in metrics.items()}
            raised = evaluation.evaluate(own, self.rules, tables.ALERTS.empty_table(), end)
            found.covered += len(
                {
                    begin + number * DAY
                    for alert in raised.to_pylist()
                    for number in range(WINDOWS)
                    if alert["since"] <= begin + number * DAY < alert["window"]["end"]
                }
            )
            is_open = lifecycle.firing(raised)
            found.seen += bool(is_open)
            for rule in {alert["rule"] for alert in is_open}:
                found.fired[rule] = found.fired.get(rule, 0) + 1
            for column in {alert["column_name"] for alert in is_open} - {tables.TABLE}:
                found.columns[column] = found.columns.get(column, 0) + 1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96_000, help="rows to train and test on")
    parser.add_argument(
        "--pool", type=int, default=200_000, help="draw windows from at least this many rows"
    )
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--records", type=int, default=1000, help="in a window")
    parser.add_argument("--scenarios", nargs="*", choices=MAGNITUDES, default=list(MAGNITUDES))
    parser.add_argument("--magnitudes", nargs="*", type=float, help="instead of those built in")
    parser.add_argument("--evidently", type=Path, help="a Python that has Evidently 0.7")
    parser.add_argument(
        "--evidently-seeds", type=int, default=10, help="six seconds a window; 0: without it"
    )
    options = parse(
        parser,
        rows=3000,
        pool=3000,
        seeds=2,
        records=100,
        scenarios=["covariate"],
        magnitudes=[1.0],
        evidently_seeds=1,
    )
    if options.seeds * WINDOWS * options.records > MAX_ROWS:
        parser.error(f"more than {MAX_ROWS:,} rows: fewer seeds or records")
    print(machine.describe("duckdb", "pyarrow", "scipy"), flush=True)
    monitor = Monitor(options.rows)
    print(
        f"\n{options.seeds} seeds of {WINDOWS} windows of {options.records:,} records against "
        f"{len(monitor.reference):,}, {len(monitor.options.columns)} columns"
    )
    calm = monitor.watch(DriftOptions(), options)
    print_calm(calm, options)
    found = {("none", 0.0): calm}
    print_header(monitor.rules)
    for scenario in options.scenarios:
        for magnitude in options.magnitudes or MAGNITUDES[scenario]:
            drift = DriftOptions(scenario=scenario, magnitude=magnitude)
            drifted = found[scenario, magnitude] = monitor.watch(drift, options)
            print_drifted(scenario, magnitude, drifted, calm, monitor.rules, options)
    print(
        "Prior and concept drift leave the inputs unchanged, so only rules on labels can detect "
        f"them; these require {WINDOWS} windows in a row."
    )
    if options.evidently_seeds:
        compare_with_evidently(monitor.reference, found, options)


def print_calm(calm: Outcome, options: argparse.Namespace) -> None:
    """Print the false alarms."""
    windows = options.seeds * WINDOWS
    print(
        f"calm: ROC AUC {np.mean(calm.areas):.4f}, standard deviation of a window "
        f"{np.std(calm.areas):.4f}; false alarms in {calm.covered} of {windows} "
        f"windows, all rules and columns together: {_share(calm.covered, windows)}"
        f" (aim at most {FALSE_ALARMS:.0%}): "
        + ("met" if calm.covered <= FALSE_ALARMS * windows else "MISSED")
    )
    for what, seeds in sorted((calm.fired | calm.columns).items()):
        print(f"  {what}: {_share(seeds, options.seeds)} of seeds")


def print_header(rules: AlertingOptions) -> None:
    """Print the header of the lines of `print_drifted`."""
    names = " ".join(f"{name:>17}" for name in rules.active)
    print(f"\n{'scenario':10}{'magnitude':>10}{'costs':>9}{'power':>8} {names}")


def print_drifted(  # noqa: PLR0913, PLR0917 - the fields of a line
    scenario: str,
    magnitude: float,
    found: Outcome,
    calm: Outcome,
    rules: AlertingOptions,
    options: argparse.Namespace,
) -> None:
    """Print the line of a scenario and magnitude."""
    cost = float(np.mean(calm.areas) - np.mean(found.areas))
    power = found.seen / options.seeds
    by_rule = " ".join(f"{found.fired.get(name, 0) / options.seeds:17.3f}" for name in rules.active)
    missed = f"   MISSED: less than {POWER}" if cost >= COST and power < POWER else ""
    print(f"{scenario:10}{magnitude:10.2f}{cost:9.4f}{power:8.3f} {by_rule}{missed}", flush=True)


def compare_with_evidently(
    reference: pd.DataFrame, found: dict[tuple[str, float], Outcome], options: argparse.Namespace
) -> None:
    """Run Evidently on the same windows and print how often it detects drift."""
    columns = [name for name in reference if name in _monitoring().columns and name != TABLE.group]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = evidently_python(folder, options)
        if python is None:
            print("Evidently was skipped")
            return
        windows = pd.concat(
            [
                window[columns].assign(window=f"{scenario} {magnitude} {seed}")
                for (scenario, magnitude), one in found.items()
                for seed, window in enumerate(one.for_evidently)
            ]
        )
        paths = [folder / "reference.parquet", folder / "windows.parquet"]
        for path, frame in zip(paths, (reference[columns], windows), strict=True):
            frame.to_parquet(path, index=False)
        command = [str(python), str(HERE / "evidently_drift_peer.py"), *map(str, paths)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"\n{result['versions']}: {options.evidently_seeds} windows each, {len(columns)} columns; "
        "share of windows with half of the columns or more drifted, with any; shares by column"
    )
    for (scenario, magnitude), one in found.items():
        drifted = [
            result["drifted"][f"{scenario} {magnitude} {seed}"]
            for seed in range(len(one.for_evidently))
        ]
        whole = sum(len(names) >= result["share"] * len(columns) for names in drifted)
        any_of_them = sum(bool(names) for names in drifted)
        how_often = pd.Series([name for names in drifted for name in names], dtype="str")
        by_column = ", ".join(
            f"{name} {times / len(drifted):.2f}"
            for name, times in how_often.value_counts().sort_index().items()
        )
        line = f"{scenario:10}{magnitude:10.2f}{whole / len(drifted):9.3f}"
        print(f"{line}{any_of_them / len(drifted):8.3f}   {by_column}")


def other_rows(drift: DriftOptions, number: int, pool: int) -> pd.DataFrame:
    """Make rows that are new to the model, shuffled: neighbours are often variants of one name."""
    # Windows from a small pool would have more variants of each name than the baseline.
    rows = max(number, pool)
    world = SyntheticOptions(rows=rows, seed=WORLD, row_seed=OTHER_ROWS, drift=drift)
    parts = [select_usable(read_source(raw, TABLE), TABLE) for raw in chunks(world)]
    return pd.concat(parts).sample(number, random_state=np.random.default_rng(OTHER_ROWS))


def score(model: TabularModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Score rows and return them as inference records."""
    records = rows[[TABLE.key, *TABLE.inputs, TABLE.target.column]].reset_index(drop=True)
    scored = model.predict(records)
    return records.assign(
        model_version=VERSION,
        prediction=scored["prediction"],
        probability=scored["probability"],
    )


_LOG = pa.schema([*tables.monitoring_baseline(TABLE), ("request_time", tables.TIME)])


def _between(table: pa.Table, begin: datetime, end: datetime) -> pa.Table:
    """Select the rows of the windows that start in an interval."""
    start = pc.struct_field(table["window"], "start")
    inside = pc.and_(
        pc.greater_equal(start, pa.scalar(begin, tables.TIME)),
        pc.less(start, pa.scalar(end, tables.TIME)),
    )
    return table.filter(inside)


def _share(found: int, of: int) -> str:
    """Format a share with its Wilson interval."""
    interval = stats.binomtest(found, of).proportion_ci(0.95, method="wilson")
    return f"{found / of:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _monitoring() -> MonitoringOptions:
    """Return the default options, without slices, which no rule reads."""
    section = _section("monitoring")
    return MonitoringOptions.model_validate(section | {"now": START, "slices": ()})


def _alerting() -> AlertingOptions:
    """Return the default rules on drift and performance."""
    section = _section("alerting")
    kept = ("drift_metrics", "quality_estimates")
    rules = {name: rule for name, rule in section["rules"].items() if rule["table"] in kept}
    return AlertingOptions.model_validate(section | {"now": START, "rules": rules})


def _section(name: str) -> dict[str, Any]:
    from marvel_kedro.settings import (  # noqa: PLC0415 - Kedro logs a line when it is imported
        CONFIG_LOADER_ARGS,
        CONFIG_LOADER_CLASS,
    )

    loader = CONFIG_LOADER_CLASS(str(HERE.parent / "conf"), **CONFIG_LOADER_ARGS)
    section: dict[str, Any] = loader["parameters"][name]
    return section


if __name__ == "__main__":
    main()
