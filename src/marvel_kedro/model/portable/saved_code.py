"""Import the code that was saved with a model."""

import importlib
import sys
import uuid
from pathlib import Path
from types import ModuleType


def import_saved_code(folder: Path) -> ModuleType | None:
    """Import the module of a model's folder that has its class, if there is one.

    The folder becomes a package under a unique name, so that two versions in one process use their
    own code each. `pyfunc.py`, which imports nothing of the project, has a copy of this function.
    """
    # Models registered before `features.py` existed have all of their code in scoring.py.
    modules = ("predictor", "scoring")
    module = next((name for name in modules if (folder / f"{name}.py").is_file()), None)
    if module is None:
        return None
    package = ModuleType(f"marvel_model_{uuid.uuid4().hex}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    try:
        return importlib.import_module(f"{package.__name__}.{module}")
    finally:
        sys.path_importer_cache.pop(str(folder), None)
        for name in [name for name in list(sys.modules) if name.startswith(package.__name__)]:
            del sys.modules[name]
