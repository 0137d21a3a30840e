"""Kedro's configuration loader, usable in several threads, with clear errors about its source."""

import lzma
import tarfile
import threading
import zipfile
import zlib
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.utils import compressions
from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from marvel_kedro.core import odd_paths
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring import defaults
from marvel_kedro.table.description import REMEDY

TABLE = "table"
"""The kind of configuration, and the section, that describes the table."""

# Kedro takes these endings for tar archives, and fsspec does not decompress them.
compressions.update({"tgz": "gzip", "tbz2": "bz2", "txz": "xz"})
_SOURCE_REMEDY = (
    "Give a folder such as conf, or an archive of one, which ends in .zip, .tar, .tar.gz, .tgz, "
    ".tar.bz2, .tbz2, .tar.xz or .txz and has that folder at its top: tar -czf conf.tar.gz conf"
)
_UNREADABLE = (
    OSError,
    EOFError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
_ON_DISK = ("file", "tar", "zip")


class ConfigLoader(OmegaConfigLoader):
    """A loader that resolves `globals`, `runtime_params`, `spec` and others by its own values.

    `spec` is a key of the table description, `table.yml` of the environment or of base, or a given
    default; without a key it is the whole description. It is also the parameter `table`, for nodes.
    `tested_columns` are those that alert rules test by default.

    OmegaConf's resolvers belong to the process: those of the newest loader would serve every other
    one, also before it has read its globals. `kedro server start` makes a loader a request.

    Raises:
        ProjectError: The source is neither a folder nor an archive with the environments.
    """

    _resolving: ClassVar[Any] = threading.RLock()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Kedro's
        with self._resolving:
            super().__init__(*arguments, **options)
        self._check_environments()

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load the configuration of a kind, such as `catalog`.

        Raises:
            ProjectError: The table description is missing, or runtime parameters change it.
        """
        with self._resolving:
            if key == TABLE:
                return {TABLE: self._table}
            # Read before the rest: an error within a resolver would name the file that uses it.
            spec = partial(self._described, self._table)
            OmegaConf.register_new_resolver("spec", spec, replace=True)
            for default in (defaults.tested_columns, defaults.measured_slices):
                made = partial(default, self._table)
                OmegaConf.register_new_resolver(default.__name__, made, replace=True)
            self._register_globals_resolver()  # Kedro's own registers runtime_params again
            found: dict[str, Any] = super().__getitem__(key)
            if key == "parameters":
                if TABLE in (self.runtime_params or {}):
                    raise ProjectError(f"--params cannot change the table. {REMEDY}")
                found[TABLE] = self._table
                section = found.get("monitoring")
                # Here, and no resolver, because --params replace what a resolver returns.
                if isinstance(section, dict) and isinstance(section.get("columns"), dict):
                    section["columns"] = defaults.measured_columns(self._table) | section["columns"]
            return found

    @cached_property
    def _table(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = super().__getitem__(TABLE)[TABLE]
        except (MissingConfigException, KeyError) as error:
            # The table is the first thing that is read.
            self._check_environments()
            if self._protocol == "file":
                odd_paths.check_project(Path(self.conf_source).absolute().parent)
            raise ProjectError(
                "conf/base/table.yml is missing or has no section `table`: it describes the table "
                "that the project works on (docs/own-data.md)."
            ) from error
        return found

    @staticmethod
    def _described(table: dict[str, Any], key: str = "", default: Any = None) -> Any:  # noqa: ANN401 - any YAML
        found: Any = table
        for part in filter(None, key.split(".")):
            found = found.get(part, default) if isinstance(found, dict) else default
        if found is None:
            raise ProjectError(f"${{spec:{key}}} in conf/: table.yml has no key {key}.")
        return found

    @staticmethod  # as Kedro's, which is the one door to every source
    def _initialise_filesystem_and_protocol(
        conf_source: str,
    ) -> tuple[fsspec.AbstractFileSystem, str]:
        source = str(conf_source)
        try:
            if "://" not in source and not Path(source).exists():
                raise FileNotFoundError("it does not exist")
            files, protocol = OmegaConfigLoader._initialise_filesystem_and_protocol(source)  # noqa: SLF001
            if protocol == "file" and not Path(source).is_dir():
                raise OSError("it is no folder, and its ending is not that of an archive")
            if protocol in ("tar", "zip") and not files.ls("", detail=False):
                raise OSError("it is an archive without files")
        except _UNREADABLE as error:
            raise ProjectError(
                f"The configuration source {source} cannot be read: {error}. {_SOURCE_REMEDY}"
            ) from error
        return files, protocol

    def _check_environments(self) -> None:
        """Refuse a source that has another layout, or not the environment of the run."""
        if self._protocol not in _ON_DISK:
            return
        for name in (self.base_env, self.env or self.default_run_env):
            if not self._fs.isdir(Path(self._get_conf_env_path(name)).as_posix()):
                top = "" if self._protocol == "file" else " below the folder at its top"
                remedy = _SOURCE_REMEDY
                if name != self.base_env:
                    remedy = f"Correct the environment, or choose another: --env {self.base_env}."
                raise ProjectError(
                    f"The configuration source {self.conf_source} has no folder "
                    f"'{name}'{top}. {remedy}"
                )
