"""The base class of parameter sections and their validation."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

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
        found = (each for each in error.errors() if each["type"] != "default_factory_not_called")
        faults = "\n".join(f"- {_describe(fault)}" for fault in found)
        raise ProjectError(f"Invalid parameters:\n{faults}\n{remedy}") from error


def _describe(fault: ErrorDetails) -> str:
    key, value = ".".join(map(str, fault["loc"])), fault["input"]
    # Not a whole section, whose message names its keys.
    got = "" if isinstance(value, (dict, BaseModel)) else f", got {shortened(repr(value), 200)}"
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "timezone_aware":
        message += ", such as 2026-01-31T18:00:00+00:00"
    return f"{key}: {message}{got}" if key else f"{message}{got}"
