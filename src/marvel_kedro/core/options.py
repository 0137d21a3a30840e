"""The base class of parameter sections and their validation."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from marvel_kedro.core.errors import ProjectError, shortened


class Options(BaseModel):
    """A section of the parameters: immutable, without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnyOptions = TypeVar("AnyOptions", bound=Options)


def validate(options: type[AnyOptions], values: Any, remedy: str) -> AnyOptions:  # noqa: ANN401
    """Validate values that were read from a file; `remedy` says where to correct them.

    Raise a ProjectError that names each unknown key and each key with an invalid value.
    """
    try:
        return options.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(
            f"- {'.'.join(map(str, fault['loc']))}: "
            f"{fault['msg'].removeprefix('Value error, ')}{_got(fault['input'])}"
            for fault in error.errors()
        )
        raise ProjectError(f"Invalid parameters:\n{faults}\n{remedy}") from error


def _got(value: Any) -> str:  # noqa: ANN401
    """Quote a wrong value, but no whole section: its message names the keys."""
    return "" if isinstance(value, (dict, BaseModel)) else f", got {shortened(repr(value), 200)}"
