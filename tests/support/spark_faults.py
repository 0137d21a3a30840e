"""Break tables of Apache Spark, and print the message for each as JSON: `NAME: message or null`.

Usage: python spark_faults.py FOLDER TABLE, the description as JSON. One Java for all of them, which
takes half a minute to start.
"""

import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marvel_kedro.databricks import session, tables
from marvel_kedro.databricks.contract import Contract
from marvel_kedro.project.error_messages import explain
from marvel_kedro.table.description import TableSpec

CONTRACT = Contract.named("TestScores", TableSpec.model_validate_json(sys.argv[2]))


def main() -> None:  # noqa: C901, PLR0915 - a list of faults
    warehouse = Path(sys.argv[1])
    place = tables.Place("spark_catalog", "marvel_characters", warehouse, frozenset({"comments"}))
    session.start("spark", warehouse)
    from pyspark.sql import SparkSession

    spark: Any = SparkSession.builder.getOrCreate()
    tables.attach(spark, place)
    messages: dict[str, str | None] = {}

    def save(name: str, frame: Any = None) -> None:
        rows = frame or spark.createDataFrame([("a", 1.0)], "page_id string, x double")
        writer = rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true")
        writer.saveAsTable(place.full_name(name))

    def attempt(name: str, action: Callable[[], Any]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - any error
            messages[name] = explain(error)
        else:
            messages[name] = None

    other = tables.Place("mlops_dev", "marvel_characters", warehouse, frozenset())
    attempt("no catalog", lambda: tables.attach(spark, other))
    attempt("no table", lambda: spark.table(place.full_name("nothing")).collect())

    for name in ("lost", "damaged", "killed"):
        save(name)
    for file in place.folder("lost").glob("*.parquet"):
        file.unlink()
    attempt("lost file", lambda: spark.table(place.full_name("lost")).collect())
    attempt("lost file, saved again", lambda: save("lost"))

    raw = warehouse / "raw.csv"
    raw.write_text("a,b\n1,2\n1,2,3\n")
    ragged = spark.read.options(header=True, multiLine=True, mode="FAILFAST").csv(str(raw))
    attempt("ragged", lambda: save("ragged", ragged))

    def save_thrice() -> None:
        for _ in range(3):
            save("both")

    def save_often(number: int) -> None:
        attempt(f"writer {number}", save_thrice)

    writers = [threading.Thread(target=save_often, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    attempt("written by both", lambda: spark.table(place.full_name("both")).collect())

    # A session of its own, as the next run has: this one remembers what it has written.
    session.end()
    for name in ("damaged", "killed"):
        log = place.folder(name) / "_delta_log"
        for file in {*log.glob("*.crc"), *log.glob(".*.crc")}:
            file.unlink()
    (place.folder("damaged") / "_delta_log" / f"{0:020}.json").write_bytes(b"{broken")
    (place.folder("killed") / "_delta_log" / f"{0:020}.json").unlink()
    session.start("spark", warehouse)
    spark = SparkSession.builder.getOrCreate()
    attempt("damaged log", lambda: tables.attach(spark, place))
    place.folder("damaged").rename(warehouse / "away")
    attempt("moved away", lambda: tables.attach(spark, place))
    columns = [("page_id", "string"), ("x", "double")]
    attempt("created", lambda: tables.create(spark, "killed", columns, CONTRACT, place))
    attempt("first save killed", lambda: save("killed"))
    session.end()
    print("\n" + json.dumps(messages))


if __name__ == "__main__":
    main()
