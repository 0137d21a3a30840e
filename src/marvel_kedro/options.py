"""The base of every parameter section."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A section of the parameters: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
