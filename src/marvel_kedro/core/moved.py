"""Module paths of the previous release, which keep working for one release with a warning.

A user's `conf/local`, notebooks and jobs name catalog types by their dotted paths.
The finder stands at the end of `sys.meta_path`: Python asks it only about modules that no other
finder knows, so an import that succeeds without it costs nothing.
"""

import importlib
import logging
import sys
import warnings
from functools import partial
from importlib.abc import InspectLoader, Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import CodeType, ModuleType
from typing import Any

_MLFLOW_TYPES = (
    *("aliased_version", "logged_model", "registered_model", "registered_version"),
    *("registered_versions", "run_inputs", "run_metrics"),
)
MOVED = {
    "marvel_kedro.databricks.job": "marvel_kedro.cli.job",
    "marvel_kedro.datasets.nothing": "marvel_kedro.datasets.optional",
    "marvel_kedro.server": "marvel_kedro.serving",
    **{f"marvel_kedro.datasets.{name}": "marvel_kedro.datasets.mlflow" for name in _MLFLOW_TYPES},
}
"""The new module by the old one."""


def install() -> None:
    """Append the finder to `sys.meta_path`, once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


class _Finder(MetaPathFinder, Loader):
    """Find an old module, and load it as a stand-in for the new one."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if fullname not in MOVED:
            return None
        # `python -m` makes the origin the program's name, which usage messages show.
        return ModuleSpec(fullname, self, origin=fullname.rpartition(".")[2])

    def exec_module(self, module: ModuleType) -> None:
        """Give the module the attributes of the new one."""
        old, new = module.__name__, importlib.import_module(MOVED[module.__name__])
        _warn(old)
        module.__dict__["__getattr__"] = partial(_attribute, old, new)

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code that `python -m` runs."""
        _warn(fullname)
        spec = find_spec(MOVED[fullname])
        if spec and spec.submodule_search_locations is not None:  # a package
            spec = find_spec(f"{spec.name}.__main__")
        assert spec
        assert isinstance(spec.loader, InspectLoader)
        return spec.loader.get_code(spec.name)


def _warn(old: str) -> None:
    message = f"{old} has moved: write {MOVED[old]}. The next release removes the old path."
    warnings.warn(message, FutureWarning, stacklevel=2)
    if logging.getLogger().handlers:  # with logging set up, Kedro's logs hide Python's warnings
        logging.getLogger(__name__).warning(message)


def _attribute(old: str, new: ModuleType, name: str) -> Any:  # noqa: ANN401 - all that `new` holds
    """Return an attribute of the new module.

    An unknown name is no AttributeError, which Kedro would turn into a hint to install a package.
    """
    if name.startswith("__"):
        raise AttributeError(name)
    if hasattr(new, name):
        return getattr(new, name)
    from difflib import get_close_matches  # noqa: PLC0415 - for this message alone

    from marvel_kedro.core.errors import ProjectError  # noqa: PLC0415 - imports click

    home = new.__name__
    known = [key for key, value in vars(new).items() if getattr(value, "__module__", 0) == home]
    close = get_close_matches(name, known, n=1) or known
    raise ProjectError(
        f"There is no {old}.{name}. The module is now {home}: write "
        f"{' or '.join(f'{home}.{key}' for key in close)}."
    )
