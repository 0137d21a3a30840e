"""Load models of any origin so that each uses its own code, as in a process of its own.

MLflow puts a model's code on `sys.path` for good, and Python imports a name once per process: of
two versions with a `helper.py` each, both would use the first one's.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache, wraps
from importlib.machinery import all_suffixes
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

_LOADING = threading.Lock()
_PATIENCE = 60.0  # seconds for another model's call: it may hang


def load_isolated(folder: Path) -> Any:  # noqa: ANN401 - a model of MLflow
    """Load an MLflow model by `mlflow.pyfunc`, apart from all others that are loaded by this.

    Models with files of code take turns: calls of one run at once, calls of two do not.

    Args:
        folder: The files of the MLflow model. They must stay: `predict` may import some.
    """
    import mlflow  # noqa: PLC0415 - only for models that MLflow loads
    from cloudpickle import cloudpickle  # type: ignore[import-untyped]  # noqa: PLC0415
    from mlflow.models import model as scripts  # noqa: PLC0415

    _first_modules()
    folder = folder.resolve()  # MLflow refuses a path through a symbolic link
    # A script directly in the folder has a unique name.
    has_code = any(path.name.endswith(tuple(all_suffixes())) for path in folder.glob("*/**/*"))
    modules = _Modules(folder)
    with modules.in_use() if has_code else nullcontext(), _LOADING:
        # cloudpickle gives a class of a pickle to all pickles of one session, and the newest one
        # its methods; MLflow gives a script without `set_model` the model of the script before.
        cloudpickle._DYNAMIC_CLASS_TRACKER_BY_ID.clear()  # noqa: SLF001 - no public way
        scripts.__mlflow_model__ = None
        model: Any = mlflow.pyfunc.load_model(str(folder))
    if not has_code:
        return model
    predict = model.predict

    @wraps(predict)
    def predict_with_own_modules(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as MLflow
        with modules.in_use():
            return predict(*args, **options)

    model.predict = predict_with_own_modules
    return model


@cache
def _first_modules() -> frozenset[str]:
    """Return the names that were imported before any model: they win, as in MLflow's server."""
    return frozenset(name.partition(".")[0] for name in list(sys.modules))


class _Modules:
    """The modules and the `sys.path` of one model, which are in place while it is in use."""

    _turns = threading.Condition()
    _waiting: ClassVar[list[object]] = []  # first come, first served: no model waits for ever
    _users: ClassVar[list["_Modules"]] = []  # one model, once per call

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: list[str] = []  # none before its first use: another model's may be in place
        self._own: dict[str, ModuleType] = {}
        self._shared: dict[str, ModuleType] = {}  # of all others, while this model is in use
        self._hidden: dict[str, ModuleType] = {}
        self._shared_path: list[str] = []
        self._names = {path.name.partition(".")[0] for path in folder.glob("code/*")}
        self._names -= _first_modules()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Put the modules in place; the last call that ends puts the others back.

        Raises:
            TimeoutError: Another model does not end.
        """
        turn = object()
        with self._turns:
            self._waiting.append(turn)
            try:
                if not self._turns.wait_for(lambda: self._may_start(turn), _PATIENCE):
                    message = f"another model with code of its own is busy since {_PATIENCE:g} s"
                    raise TimeoutError(message)
                if not self._users:
                    self._put_in_place()
                self._users.append(self)
            finally:
                self._waiting.remove(turn)
                self._turns.notify_all()
        try:
            yield
        finally:
            with self._turns:
                self._users.pop()
                if not self._users:
                    self._take_away()
                self._turns.notify_all()

    def _may_start(self, turn: object) -> bool:
        return self._waiting[0] is turn and (not self._users or self._users[0] is self)

    def _put_in_place(self) -> None:
        self._shared_path, sys.path = sys.path, self._path or list(sys.path)
        self._shared = dict(sys.modules)
        self._hidden = {}
        if self._names & self._shared.keys():  # another model has imported an installed package
            for name, module in self._shared.items():
                if name.partition(".")[0] in self._names:
                    self._hidden[name] = module
                    sys.modules.pop(name, None)
        sys.modules.update(self._own)
        for parent, name, module in self._in_shared_packages():
            setattr(parent, name, module)

    def _take_away(self) -> None:
        added = {Path(path).absolute() for path in sys.path if path not in self._shared_path}
        now = list(sys.modules.items())  # other threads import meanwhile
        new = {name: module for name, module in now if self._shared.get(name) is not module}
        before, self._own = self._own, {}
        for name, module in sorted(new.items()):  # packages before their parts
            if name.rpartition(".")[0] in self._own or _is_from(module, self._folder, added):
                self._own[name] = module
        for parent, name, _ in self._in_shared_packages():
            vars(parent).pop(name, None)
        for name in self._own:
            sys.modules.pop(name, None)
            if name in self._shared:
                sys.modules[name] = self._shared[name]
        sys.modules.update(self._hidden)
        self._shared, self._hidden = {}, {}
        self._path, sys.path = sys.path, self._shared_path
        if self._own.keys() != before.keys():
            for path in list(sys.path_importer_cache):
                if self._folder in Path(path).parents or Path(path) in added:
                    sys.path_importer_cache.pop(path, None)

    def _in_shared_packages(self) -> Iterator[tuple[ModuleType, str, ModuleType]]:
        """Find modules that are an attribute of a namespace package with installed parts."""
        for full_name, module in self._own.items():
            parent, _, name = full_name.rpartition(".")
            if parent and parent not in self._own and parent in sys.modules:
                yield sys.modules[parent], name, module


def _is_from(module: ModuleType, folder: Path, added: set[Path]) -> bool:
    """Tell whether a module lies below a folder, or was found in one that was added to the path."""
    if not isinstance(module, ModuleType):
        return False
    known = object.__getattribute__(module, "__dict__")  # else a lazy module would be imported
    places = [known.get("__file__"), *(known.get("__path__") or ())]
    files = [Path(place) for place in places if place]
    return any(folder in file.parents or file.parent in added for file in files)
