"""Copies of model versions on this disk: fetched, verified, and replaced if damaged."""

import hashlib
import json
import logging
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployed, sync

logger = logging.getLogger(__name__)

_SEAL = ".seal.json"  # digests of the files of a copy
_FETCH_PREFIX = ".fetch-"
_LONGEST_FETCH_SECONDS = 3600.0
_TRIAL_SECONDS = 120.0
_RETRY_SECONDS = 30.0
_OLD_VERSIONS_KEPT = 4  # workers may still read the latest ones

_TRIAL_LOAD = """\
import pathlib, sys
from marvel_kedro.serving.models import loaded_model
loaded_model.load(pathlib.Path(sys.argv[1]))
"""


class ModelCopies:
    """Fetches versions of a model into folders next to `deployment.json`."""

    def __init__(self, folder: Path) -> None:
        self.replaced = False  # whether a damaged copy was replaced, so that workers load it again
        self._folder = folder
        self._intact: dict[str, object] = {}  # by folder, its files when they were last verified
        self._failures: dict[str, tuple[float, Exception]] = {}

    def is_intact(self, name: str) -> bool:
        """Return whether a version is on this disk as it was fetched.

        The files are read at the first call, and again only if their size or time has changed.
        """
        path = self._folder / name
        try:
            found = [(file, (path / file).stat()) for file in _files(path)]
            stamp = [(file, stat.st_size, stat.st_mtime_ns) for file, stat in found]
            if self._intact.get(name) != stamp:
                check_copy(path)
        except (OSError, ValueError):
            return False
        self._intact[name] = stamp
        return True

    def ensure(self, version: Deployed, *, is_update: bool) -> None:
        """Fetch a version unless an intact copy is there. A failure is not retried for a while.

        An update, of an entity that workers serve, is loaded in a process of its own first: workers
        that cannot load it would keep the previous version only until they restart.
        """
        if self.is_intact(version.folder):
            return
        retry_at, failure = self._failures.get(version.folder, (0.0, None))
        if failure is not None and time.monotonic() < retry_at:
            raise failure
        try:
            self._fetch(version, is_update=is_update)
        except Exception as error:
            self._failures[version.folder] = time.monotonic() + _RETRY_SECONDS, error
            raise

    def _fetch(self, version: Deployed, *, is_update: bool) -> None:
        """Fetch and verify the files, and move them to their folder in one step."""
        import mlflow  # noqa: PLC0415 - slow to import

        with tempfile.TemporaryDirectory(prefix=_FETCH_PREFIX, dir=self._folder) as temporary:
            files = mlflow.artifacts.download_artifacts(
                f"models:/{version.model}/{version.version}", dst_path=temporary
            )
            try:
                # Without a digest the files may be truncated: loading them may end the process.
                if not loaded_model.check(Path(files)) or is_update:
                    _load_in_subprocess(Path(files))
            except Exception as error:
                reason = str(error).replace(temporary, "").partition("\n")[0]
                raise RuntimeError(f"version {version.version} cannot be used: {reason}") from error
            copy, target = Path(temporary) / "whole", self._folder / version.folder
            shutil.copytree(files, copy)
            seal(copy)
            # Without this a power cut may leave empty files in a folder that looks complete.
            for path in (*copy.rglob("*"), copy):
                sync(path)
            if target.exists():
                logger.warning("The damaged copy %s is replaced.", target)
                target.rename(Path(temporary) / "damaged")
                self.replaced = True
            copy.rename(target)
            sync(self._folder)

    def remove_old(self, served: Collection[str]) -> None:
        """Remove folders that are no longer served, and what killed processes left."""
        old = sorted(
            (path for path in self._folder.glob("[!.]*-*") if path.name not in served),
            key=lambda path: path.stat().st_mtime,
        )
        for path in old[:-_OLD_VERSIONS_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.glob(f"{_FETCH_PREFIX}*"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _LONGEST_FETCH_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)


def seal(folder: Path) -> None:
    """Write the digests of a version's files next to them, for `check_copy`."""
    digests = {name: _digest(folder / name) for name in _files(folder)}
    (folder / _SEAL).write_text(json.dumps(digests), "utf-8")


def check_copy(folder: Path) -> None:
    """Check that a fetched version is unchanged.

    Truncated files must not reach a library: LightGBM would end the process. A copy without a
    seal, from another program or an earlier server, is checked by the model's own digest.

    Raises:
        ValueError: A file has changed or is missing.
    """
    try:
        if not (folder / _SEAL).exists():
            loaded_model.check(folder)
            return
        sealed: dict[str, str] = json.loads((folder / _SEAL).read_text("utf-8"))
        changed = [name for name, digest in sealed.items() if _digest(folder / name) != digest]
    except (OSError, AttributeError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ValueError(f"the copy on this disk is damaged ({reason})") from error
    if changed:
        raise ValueError(f"the copy on this disk is damaged ({', '.join(changed)})")


def _files(folder: Path) -> list[str]:
    """List the files that stay as they are, which excludes what Python compiles."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return sorted(
        str(path) for path in files if path.name != _SEAL and "__pycache__" not in path.parts
    )


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _load_in_subprocess(files: Path) -> None:
    """Load a version where a crash does no harm; raise a ValueError if it cannot be loaded."""
    try:
        done = subprocess.run(  # noqa: S603 - Python
            [sys.executable, "-c", _TRIAL_LOAD, str(files)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it does not load within {_TRIAL_SECONDS:g} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ValueError(f"it does not load ({last})")
