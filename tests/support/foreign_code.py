"""Save MLflow models with code of their own, and answer with each in a process of its own.

    python foreign_code.py FOLDER

saves two versions of every form to `FOLDER/<form>/<version>/model`, and prints their predictions.
It imports nothing of the project.
"""

import importlib
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

VALUES = {"1": 0.11, "2": 0.99}
RECORDS = pd.DataFrame({"height": [1.0, 2.0]})
SIGNATURE = mlflow.models.infer_signature(RECORDS)

MODEL = """
import mlflow
import pandas as pd
{before}

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        {load}

    def predict(self, context, model_input, params=None):
        {within}
        return pd.DataFrame({{"prediction": "Alive", "probability": [{result}] * len(model_input)}})
"""
_IN_THREAD = """from concurrent.futures import ThreadPoolExecutor as Pool
        value = Pool(2).submit(lambda: __import__('helper').VALUE).result()"""

FORMS: dict[str, dict[str, str]] = {
    "import in predict": {"within": _IN_THREAD, "result": "value"},
    "class by reference": {"before": "from helper import VALUE"},
    "script": {"before": "import helper", "result": "helper.VALUE"},
    "package": {
        "before": "import lib",
        "within": "import lib.sub.deep",
        "result": "lib.sub.deep()",
    },
    "namespace": {"within": "import google.helper", "result": "google.helper.VALUE"},
    "name of an installed module": {"within": "import mailbox", "result": "mailbox.VALUE"},
    "name of a module of MLflow": {"within": "import yaml", "result": "hasattr(yaml, 'VALUE')"},
    "loader": {"before": "from helper import VALUE\n\ndef _load_pyfunc(_):\n    return Loaded()"},
    "path": {
        "load": "import sys; sys.path.append(context.artifacts['lib'])",
        "within": "from helper import VALUE",
    },
    "session": {},
}
"""Parts of `MODEL` by form."""


def save(form: str, version: str, folder: Path) -> None:
    """Save a version."""
    folder.mkdir(parents=True)
    parts = {"before": "", "load": "pass", "within": "", "result": "VALUE"} | FORMS[form]
    source = MODEL.format(**parts)
    value = f"VALUE = {VALUES[version]}\n"
    files = {
        "helper.py": value,
        "mailbox.py": value,
        "yaml.py": value,
        "google/helper.py": value,
        "lib/__init__.py": "",
        "lib/sub/__init__.py": "from lib.sub.deep import deep\n",
        "lib/sub/deep.py": "from ..value import VALUE\n\ndef deep():\n    return VALUE\n",
        "lib/value.py": value,
        "modelled.py": source + "\nLoaded = lambda: Wrapped()\n\nclass Wrapped:\n"
        "    def predict(self, model_input, params=None):\n"
        "        return Model().predict(None, model_input)\n",
    }
    for name, text in files.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_text(text)
    top = [str(path) for path in sorted((folder / "files").iterdir())]
    options: dict[str, Any] = {"signature": SIGNATURE, "pip_requirements": ["mlflow"]}
    sys.path.insert(0, str(folder / "files"))
    if form == "loader":
        options |= {"loader_module": "modelled", "code_paths": top}
    elif form == "class by reference":
        options |= {"python_model": importlib.import_module("modelled").Model(), "code_paths": top}
    elif form == "script":
        script = folder / "script.py"
        script.write_text(source + "\nmlflow.models.set_model(Model())\n")
        options |= {"python_model": str(script), "code_paths": top}
    else:
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(source, names)
        options |= {"python_model": names["Model"](), "code_paths": top}
        if form == "path":
            options |= {"artifacts": {"lib": str(folder / "files")}, "code_paths": None}
    mlflow.pyfunc.save_model(folder / "model", **options)


def save_session(folder: Path) -> None:
    """Save both versions from one session, in which a global variable of the class changes."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(MODEL.format(before="", load="pass", within="", result="VALUE"), names)
    for version, value in VALUES.items():
        names["VALUE"] = value
        mlflow.pyfunc.save_model(
            folder / version / "model",
            python_model=names["Model"](),
            signature=SIGNATURE,
            pip_requirements=["mlflow"],
        )


def answer(folder: str) -> Any:
    """Load a version and return its predictions."""
    return mlflow.pyfunc.load_model(folder).predict(RECORDS).to_dict("records")


def main(folder: Path) -> None:
    """Save each version, and answer with each in a process of its own."""
    for form in FORMS:
        if form == "session":
            save_session(folder / form)
            continue
        for version in VALUES:
            path, modules = list(sys.path), dict(sys.modules)
            save(form, version, folder / form / version)
            sys.path = path
            for name in sys.modules.keys() - modules.keys():
                if str(folder) in str(sys.modules[name]):
                    del sys.modules[name]
    # Without the modules above, and with those that MLflow imports when it first loads a model.
    answers: dict[str, dict[str, Any]] = {}
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        for form in FORMS:
            paths = {version: str(folder / form / version / "model") for version in VALUES}
            answers[form] = {
                version: pool.apply(answer, (path,)) for version, path in paths.items()
            }
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
