"""The imports of a worker that loads a version."""

import subprocess
import sys

from support.project import clean_environment
from support.running_server import Store, mlflow_files

LOAD = """\
import sys
from pathlib import Path
from marvel_kedro.serving.models import loaded_model
loaded_model.import_lightgbm()
import marvel_kedro.serving.http.app
loaded_model.load(Path(sys.argv[1]))
assert "lightgbm" in sys.modules
print(sorted({name.partition(".")[0] for name in sys.modules} & {"mlflow", "sklearn"}))
from sklearn.linear_model import LogisticRegression
"""


def test_load_imports_neither_mlflow_nor_scikit_learn(registered: Store) -> None:
    """In a worker's order; scikit-learn can still be imported afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, mlflow_files(registered.client(), "1")],
        env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
