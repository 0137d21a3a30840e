"""Wire the pipeline `training`: candidate, evaluation, promotion, registry."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.model.evaluation import candidate_metrics
from marvel_kedro.model.promotion import promote
from marvel_kedro.pipelines.training import nodes


def create_pipeline() -> Pipeline:
    """Create the pipeline `training`."""
    return Pipeline(
        [
            node(
                nodes.choose_test_rows,
                [
                    "test_set",
                    "newest_retraining_test_set",
                    "newest_retraining_log",
                    "reigning_champion",
                    "split",
                    "params:table",
                ],
                ["gate_set", "gate_table"],
                name="choose_test_rows",
            ),
            node(
                nodes.describe_tables,
                ["train_set", "gate_set", "params:table", "params:training"],
                ["run_tables", "run_inputs"],
                name="describe_tables",
            ),
            node(
                nodes.fit_model,
                ["train_set", "params:table", "params:training"],
                ["candidate", "logged_candidate"],
                name="fit_model",
            ),
            node(
                nodes.score_test_set,
                [
                    *("train_set", "gate_set", "candidate", "logged_candidate"),
                    *("reigning_champion", "params:table", "params:training"),
                ],
                "test_scores",
                name="score_test_set",
            ),
            node(
                nodes.evaluate_models,
                ["test_scores", "candidate", "params:table", "params:training"],
                "evaluation",
                name="evaluate_models",
            ),
            node(candidate_metrics, "evaluation", "test_metrics", name="pick_test_metrics"),
            node(
                nodes.decide_promotion,
                [
                    *("test_scores", "reigning_champion", "run_tables"),
                    *("params:table", "params:training"),
                ],
                ["decision", "gate_checks"],
                name="decide_promotion",
            ),
            node(
                nodes.describe_version,
                [
                    *("decision", "logged_candidate", "run_tables", "split"),
                    *("params:table", "params:training"),
                ],
                "candidate_version",
                name="describe_version",
            ),
            node(
                promote,
                [
                    "decision",
                    "candidate_version",
                    "logged_candidate",
                    "reigning_champion",
                    "gate_table",
                ],
                ["promotion", "champion"],
                name="promote",
            ),
            node(
                nodes.draw_plots,
                ["test_scores", "evaluation", "candidate", "params:table", "params:training"],
                ["roc_plot", "calibration_plot", "confusion_plot", "importance_plot", "plots"],
                name="draw_plots",
            ),
            node(
                nodes.write_model_card,
                [
                    *("promotion", "run_tables", "evaluation", "plots", "candidate"),
                    *("params:table", "params:training"),
                ],
                ["model_card_markdown", "model_card"],
                name="write_model_card",
            ),
        ],
        tags="training",
    )
