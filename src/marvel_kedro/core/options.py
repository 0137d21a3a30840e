"""The base of every parameter section."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from marvel_kedro.core.errors import ProjectError


class Options(BaseModel):
    """A section of the parameters: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


AnyOptions = TypeVar("AnyOptions", bound=Options)


def checked(options: type[AnyOptions], values: Any, remedy: str) -> AnyOptions:  # noqa: ANN401
    """Refuse unknown keys and values of the wrong kind.

    Args:
        options: What the values are to be.
        values: Whatever was read.
        remedy: Where to mend them.

    Returns:
        The options, every value of its own type.

    Raises:
        ProjectError: It names each key, what is wrong with it and the remedy.
    """
    try:
        return options.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(
            f"- {'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
            for fault in error.errors()
        )
        raise ProjectError(f"Parameters are not right:\n{faults}\n{remedy}") from error
