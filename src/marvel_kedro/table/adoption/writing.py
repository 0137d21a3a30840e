"""Write the description, with a comment a line, and put the file in its place."""

import filecmp
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.table.adoption.names import words
from marvel_kedro.table.description import REMEDY, TableSpec

SHIPPED = "24e1918f1e495fcc"
"""The digest of the description that the project comes with; a test says the new one."""


def to_text(table: Mapping[str, Any], comments: Mapping[str, str], heading: str) -> str:
    """Return a description as YAML; the comment of a key is that of `key` or `columns.key`.

    Raises:
        ProjectError: The text does not read as the same description.
    """
    lines = [f"# {heading}", "table:"]
    for key, value in table.items():
        if key == "columns":
            lines.append("  columns:")
            lines += [
                _line(f"    {name}", column, comments.get(f"columns.{name}"))
                for name, column in value.items()
            ]
        else:
            lines.append(_line(f"  {key}", value, comments.get(key)))
    text = "\n".join(lines) + "\n"
    if "${" in text:
        raise ProjectError(
            "A name or a class of the file has ${, which the configuration takes for a variable: "
            "rename it in the file, or leave the column out with --drop."
        )
    read: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    if read["table"] != table:
        raise ProjectError(
            "The description cannot be written as YAML: rename columns with unusual characters."
        )
    validate(TableSpec, read["table"], REMEDY)
    return text


class _Dumper(yaml.SafeDumper):
    """Write texts in quotes that OmegaConf, unlike PyYAML, reads as numbers: `1e5`."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9._]+[eE][-+]?[0-9]+"), list("-+.0123456789")
)


def _line(key: str, value: Any, comment: str | None) -> str:  # noqa: ANN401 - any YAML
    text = yaml.dump(
        value,
        None,
        _Dumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=2**30,
    )
    text = text.removesuffix("\n...\n").strip()
    return f"{key}: {text}" + (f"  # {' '.join(comment.split())}" if comment else "")


def check_replaceable(path: Path, text: str) -> None:
    """Refuse to replace a description that was written for another table or by hand.

    That which the project comes with, unchanged, may be replaced.

    Raises:
        ProjectError: It names the file and --force.
    """
    if not path.exists() or path.read_text("utf-8") == text or digest(path) == SHIPPED:
        return
    raise ProjectError(
        f"{path} describes a table, and is not the description that the project came with: move "
        "it away, or replace it with --force."
    )


def digest(path: Path) -> str | None:
    """Return the digest of a description, whatever its comments; None if it cannot be read."""
    try:
        table = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None
    return hashlib.sha256(json.dumps(table, sort_keys=True, default=str).encode()).hexdigest()[:16]


def place_for(file: Path, folder: Path) -> Path:
    """Return the place of the raw file: its own, if that is below the folder."""
    if file.resolve().is_relative_to(folder.resolve()):
        return folder / file.resolve().relative_to(folder.resolve())
    stem, dot, suffix = file.name.partition(".")
    plain = stem if stem.replace("-", "").replace("_", "").isalnum() else "_".join(words(stem))
    return folder / f"{plain or 'table'}{dot}{suffix}"


def check_place(file: Path, place: Path) -> None:
    """Refuse to overwrite another file.

    Raises:
        ProjectError: It names the file and --force.
    """
    if place.exists() and not filecmp.cmp(file, place, shallow=False):
        raise ProjectError(
            f"{place} is another file: move it away or rename {file}; or overwrite it with --force."
        )


def copy(file: Path, place: Path) -> None:
    """Copy a file; the copy appears when it is complete."""
    with file.open("rb") as source, AtomicFile(place, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def write(path: Path, text: str) -> None:
    """Write the description; it appears when it is complete."""
    with AtomicFile(path, "w") as target:
        target.write(text)
