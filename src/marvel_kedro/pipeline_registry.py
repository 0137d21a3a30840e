"""The pipelines by name."""

from kedro.pipeline import Pipeline


def register_pipelines() -> dict[str, Pipeline]:
    """Make every pipeline; `__default__` is what `kedro run` runs."""
    from marvel_kedro.pipelines.ab_test import pipeline as ab_test  # noqa: PLC0415
    from marvel_kedro.pipelines.alerting import pipeline as alerting  # noqa: PLC0415
    from marvel_kedro.pipelines.exporting import pipeline as exporting  # noqa: PLC0415
    from marvel_kedro.pipelines.monitoring import pipeline as monitoring  # noqa: PLC0415
    from marvel_kedro.pipelines.processing import pipeline as processing  # noqa: PLC0415
    from marvel_kedro.pipelines.reporting import pipeline as reporting  # noqa: PLC0415
    from marvel_kedro.pipelines.retraining import pipeline as retraining  # noqa: PLC0415
    from marvel_kedro.pipelines.serving import pipeline as serving  # noqa: PLC0415
    from marvel_kedro.pipelines.synthetic import pipeline as synthetic  # noqa: PLC0415
    from marvel_kedro.pipelines.training import pipeline as training  # noqa: PLC0415

    named = {
        "synthetic": synthetic.create_pipeline(),
        "processing": processing.create_pipeline(),
        "training": training.create_pipeline(),
        "serving": serving.create_pipeline(),
        "ab_test": ab_test.create_pipeline(),
        "alerting": alerting.create_pipeline(),
        "reporting": reporting.create_pipeline(),
        "retraining": retraining.create_pipeline(),
        "exporting": exporting.create_pipeline(),
    }
    named["monitoring"] = sum(
        (named[name] for name in ("alerting", "reporting", "exporting")),
        start=monitoring.create_pipeline(),
    )
    return named | {"__default__": named["processing"] + named["training"] + named["serving"]}
