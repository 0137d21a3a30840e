"""The store of runs and models that commands without a Kedro session ask."""


def use() -> None:
    """Let MLflow's clients ask the project's store."""
    import mlflow  # noqa: PLC0415 - slow to import

    from marvel_kedro.model import tracking  # noqa: PLC0415 - likewise
    from marvel_kedro.project import configuration  # noqa: PLC0415 - likewise

    store = tracking.find_store(configuration.project_path())
    tracking.check_reachable(store.uri)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.registry or store.uri)
