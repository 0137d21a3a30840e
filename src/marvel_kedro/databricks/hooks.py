"""What a run on a lakehouse needs around it; in other environments nothing of it happens."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol

from marvel_kedro.databricks import session

if TYPE_CHECKING:
    from marvel_kedro.databricks.tables import Contract, Place


class LakehouseHooks:
    """Starts and stops the session, and looks after tables when they are loaded and saved."""

    _place: "Place | None" = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """See whether the environment keeps its tables in a lakehouse."""
        names = context.config_loader["globals"]
        self._place = None
        if "catalog" not in names:
            return
        from marvel_kedro.databricks import tables  # noqa: PLC0415 - nothing of it in base

        self._engine = names["engine"]
        self._place = tables.place_from(names, context.project_path)

    @hook_impl(wrapper=True, tryfirst=True)
    def before_pipeline_run(self, catalog: CatalogProtocol[Any, Any]) -> Generator[None, Any, Any]:
        """Start the session and show it the tables, before other hooks ask for one."""
        try:
            if self._place is not None:
                self._attach(self._place, catalog)
            return (yield)
        except BaseException:  # after this hook Kedro calls no other
            session.end()
            raise

    def _attach(self, place: "Place", catalog: CatalogProtocol[Any, Any]) -> None:
        from marvel_kedro.databricks import tables  # noqa: PLC0415

        self._catalog = catalog
        self._checked: set[tuple[str, int]] = set()
        session.start(self._engine, place.warehouse)
        # Of a session that was there, too: days are those of UTC, whoever asks.
        _spark().conf.set("spark.sql.session.timeZone", "UTC")
        tables.attach(_spark(), place)

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Refuse a frame that is not what the table is; make the table before its first rows."""
        contract = self._contract(dataset_name)
        if contract is None or self._place is None:
            return
        from marvel_kedro.databricks import tables  # noqa: PLC0415

        spark, place = _spark(), self._place
        with tables.noted("checking", dataset_name):
            there = None
            if spark.catalog.tableExists(place.full_name(dataset_name)):
                there = spark.table(place.full_name(dataset_name)).dtypes
            columns = tables.columns_of(data, contract)
            tables.check_columns(dataset_name, columns, contract, there, place)
            if there is None:
                tables.create(spark, dataset_name, columns, contract, place)

    @hook_impl(specname="after_dataset_saved")
    def tell_later_tasks(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Tell the job's later tasks whether there is a new champion, or is to be one."""
        if dataset_name not in ("promotion", "retrain"):
            return
        from marvel_kedro.databricks import task_values  # noqa: PLC0415

        says = (
            task_values.of_promotion if dataset_name == "promotion" else task_values.of_retraining
        )
        task_values.set_values(says(data))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Restore what an overwrite took away, check the rows, and note the version."""
        contract = self._contract(dataset_name)
        if contract is None or self._place is None:
            return
        from marvel_kedro.databricks import tables  # noqa: PLC0415

        with tables.noted("checking", dataset_name):
            spark, place = _spark(), self._place
            tables.restore(spark, dataset_name, contract, place)
            version = tables.version(spark, dataset_name, place)
            if not isinstance(data, pd.DataFrame):  # which was checked before it was saved
                saved = spark.table(place.full_name(dataset_name))
                tables.check_rows(dataset_name, saved, contract)
        self._checked.add((dataset_name, version))
        _note("written", dataset_name, version)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Hold the table against its contract, once a version, and note the version."""
        contract = self._contract(dataset_name)
        if contract is None or self._place is None:
            return
        from marvel_kedro.databricks import tables  # noqa: PLC0415

        with tables.noted("checking", dataset_name):
            version = tables.version(_spark(), dataset_name, self._place)
            if (dataset_name, version) not in self._checked:
                tables.check_rows(dataset_name, data, contract)
                self._checked.add((dataset_name, version))
        _note("read", dataset_name, version)

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """Stop what was started, after the summary has been read from the tables."""
        try:
            return (yield)
        finally:
            session.end()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Stop what was started, before MLflow closes its run: it would ask the session."""
        session.end()

    def _contract(self, dataset_name: str) -> "Contract | None":
        if self._place is None:
            return None
        dataset = self._catalog.get(dataset_name)
        name = (getattr(dataset, "metadata", None) or {}).get("contract")
        if name is None:
            return None
        from marvel_kedro.databricks.tables import Contract  # noqa: PLC0415

        return Contract.named(name)


def _spark() -> Any:  # noqa: ANN401 - a session, classic or remote
    from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

    return SparkSession.builder.getOrCreate()


def _note(what: str, table: str, version: int) -> None:
    """Tag the run with the Delta version of a table."""
    import mlflow  # noqa: PLC0415 - slow to import

    if mlflow.active_run():
        mlflow.set_tag(f"delta.{what}.{table}", str(version))
