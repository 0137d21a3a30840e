"""Hooks around a run on a lakehouse; they do nothing in other environments."""

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol

from marvel_kedro.core.options import validate
from marvel_kedro.databricks import session, task_values
from marvel_kedro.table.description import REMEDY, TableSpec

if TYPE_CHECKING:
    from marvel_kedro.databricks.contract import Contract
    from marvel_kedro.databricks.tables import Place


class LakehouseHooks:
    """Start and stop the Spark session, and check tables when they are loaded and saved."""

    _place: "Place | None" = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Read from the configuration where tables are, if the environment is a lakehouse."""
        names = context.config_loader["globals"]
        self._place = None
        if "catalog" not in names:
            return
        from marvel_kedro.databricks import contract, tables  # noqa: PLC0415 - for a lakehouse

        self._tables, self._contracts = tables, contract
        self._engine = names["engine"]
        self._table = validate(TableSpec, context.config_loader["table"]["table"], REMEDY)
        self._place = tables.place_from(names, context.project_path)

    @hook_impl(wrapper=True, tryfirst=True)
    def before_pipeline_run(self, catalog: CatalogProtocol[Any, Any]) -> Generator[None, Any, Any]:
        """Start the session and attach the tables, before other hooks need them."""
        try:
            if self._place is not None:
                self._catalog = catalog
                self._checked: set[tuple[str, int]] = set()
                self._tables.start_and_attach(self._engine, self._place)
            return (yield)
        except BaseException:  # Kedro calls no other hook after an error in this one
            session.end()
            raise

    @hook_impl
    def before_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Refuse a frame that breaks the table's contract; create a table before its first rows."""
        if self._place is None or (contract := self._contract(dataset_name)) is None:
            return
        spark, table = session.active(), self._place.full_name(dataset_name)
        with self._tables.noted("checking", dataset_name):
            existing = spark.table(table).dtypes if spark.catalog.tableExists(table) else None
            columns = self._contracts.columns_of(data, contract)
            may_change = dataset_name in self._place.evolve
            self._contracts.check_columns(
                dataset_name, columns, contract, existing, may_change=may_change
            )
            if existing is None:
                self._tables.create(spark, dataset_name, columns, contract, self._place)

    @hook_impl(specname="after_dataset_saved")
    def set_task_values(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Pass the decisions `promotion` and `retrain` to later tasks of the job."""
        if dataset_name == "promotion":
            task_values.set_values(task_values.of_promotion(data))
        elif dataset_name == "retrain":
            task_values.set_values(task_values.of_retraining(data))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Restore the properties that an overwrite removes, check the rows, tag the version."""
        if self._place is None or (contract := self._contract(dataset_name)) is None:
            return
        spark = session.active()
        with self._tables.noted("checking", dataset_name):
            self._tables.restore(spark, dataset_name, contract, self._place)
            version = self._tables.version(spark, dataset_name, self._place)
            if not isinstance(data, pd.DataFrame):  # which was checked before it was saved
                saved = spark.table(self._place.full_name(dataset_name))
                self._contracts.check_rows(dataset_name, saved, contract)
        self._checked.add((dataset_name, version))
        _tag_version("written", dataset_name, version)

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:  # noqa: ANN401 - any
        """Check the rows of a table against its contract, once a version, and tag the version."""
        if self._place is None or (contract := self._contract(dataset_name)) is None:
            return
        with self._tables.noted("checking", dataset_name):
            version = self._tables.version(session.active(), dataset_name, self._place)
            if (dataset_name, version) not in self._checked:
                self._contracts.check_rows(dataset_name, data, contract)
                self._checked.add((dataset_name, version))
        _tag_version("read", dataset_name, version)

    @hook_impl(wrapper=True)
    def after_pipeline_run(self) -> Generator[None, Any, Any]:
        """End the session, after the summary has been read from the tables."""
        try:
            return (yield)
        finally:
            session.end()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """End the session before MLflow closes its run, for which it would use the session."""
        session.end()

    def _contract(self, dataset_name: str) -> "Contract | None":
        dataset = self._catalog.get(dataset_name)
        name = (getattr(dataset, "metadata", None) or {}).get("contract")
        return None if name is None else self._contracts.Contract.named(name, self._table)


def _tag_version(action: str, table: str, version: int) -> None:
    """Tag the MLflow run with the Delta version of a table."""
    import mlflow  # noqa: PLC0415 - slow to import

    if mlflow.active_run():
        mlflow.set_tag(f"delta.{action}.{table}", str(version))
