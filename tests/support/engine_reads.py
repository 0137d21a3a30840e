"""Read the inference table with an engine several times: `python engine_reads.py ENGINE WAREHOUSE`.

Prints rows and distinct ids of each reading, then names and types of the columns.
"""

import sys
from pathlib import Path
from typing import Any

from marvel_kedro.databricks import session, tables


def main() -> None:
    engine, warehouse = sys.argv[1], Path(sys.argv[2])
    catalog = "sail" if engine == "sail" else "spark_catalog"
    place = tables.Place(catalog, "marvel_characters", warehouse, frozenset())
    session.start(engine, warehouse)  # type: ignore[arg-type]
    from pyspark.sql import SparkSession

    spark: Any = SparkSession.builder.getOrCreate()
    tables.attach(spark, place)
    name = place.full_name("inference")
    seen = []
    for _ in range(5):
        (row,) = spark.sql(
            f"SELECT count(*) AS n, count(DISTINCT databricks_request_id) AS d FROM {name} "
            "WHERE request_date > '2000-01-01' AND status_code = 200"
        ).collect()
        seen.append(f"{row['n']}/{row['d']}")
    print(*seen)
    print(spark.table(name).dtypes)
    session.end()


if __name__ == "__main__":
    main()
