"""Wire the pipeline `retraining`: the newest labels, then `training` with another release."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.model import retraining_rows
from marvel_kedro.pipelines.alerting.nodes import count_labelled
from marvel_kedro.pipelines.retraining import nodes
from marvel_kedro.pipelines.training import pipeline as training

_ALERTING, _OPTIONS, _PROCESSING = "params:alerting", "params:retraining", "params:processing"
_TABLE = "params:table"


def create_pipeline() -> Pipeline:
    """Create the pipeline `retraining`."""
    return Pipeline(
        [
            node(
                count_labelled,
                ["inference_log", "known_retraining_log", _ALERTING, _TABLE],
                "labels_since",
                name="count_labels_since",
            ),
            node(
                nodes.begin_retraining,
                ["alerts", "labels_since", "known_retraining_log", "champion_version", _ALERTING],
                "begun_retraining_log",
                name="begin_retraining",
            ),
            node(
                nodes.select_newest,
                [
                    "inference_log",
                    "records",
                    _TABLE,
                    _OPTIONS,
                    _PROCESSING,
                    _ALERTING,
                    "params:training.max_rows",
                ],
                "newest_records",
                name="select_newest",
            ),
            node(
                retraining_rows.choose_share,
                ["newest_records", "records", _TABLE, _OPTIONS, _PROCESSING, "params:training"],
                "newest_share",
                name="choose_share",
            ),
            node(
                retraining_rows.split_rows,
                ["newest_records", "records", _TABLE, "newest_share", _OPTIONS, _PROCESSING],
                ["retraining_train_set", "retraining_test_set", "retraining_split"],
                name="split_rows",
            ),
            _training(),
            node(
                nodes.release,
                [
                    "decision",
                    "candidate_version",
                    "logged_candidate",
                    "reigning_champion",
                    _OPTIONS,
                ],
                ["promotion", "champion", "retraining_outcome"],
                name="release",
            ),
            node(
                nodes.end_retraining,
                ["begun_retraining_log", "promotion", "retraining_outcome", _ALERTING],
                "retraining_log",
                name="end_retraining",
            ),
        ],
        tags="retraining",
    )


def _training() -> Pipeline:
    """Reuse the pipeline `training` on other rows, without its choice of test rows and alias."""
    own = training.create_pipeline()
    return Pipeline(
        [each for each in own.nodes if each.name not in {"choose_test_rows", "promote"}],
        inputs={
            "train_set": "retraining_train_set",
            "gate_set": "retraining_test_set",
            "split": "retraining_split",
        },
    )
