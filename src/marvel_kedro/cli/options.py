"""Options that several commands share."""

import copy
import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any

import click
from omegaconf import OmegaConf
from yaml import YAMLError

env = click.option("--env", "-e", help="Environment of the parameters.")
conf_source = click.option("--conf-source", help="Folder or archive of the configuration.")


class Number(click.FloatRange):
    """A number within bounds, which `nan` and `inf` are not."""

    def convert(
        self,
        value: Any,  # noqa: ANN401 - as click
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Convert text; a number that is not finite is a usage error."""
        found = float(super().convert(value, param, ctx))
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return found


_NEXT_KEY = re.compile(r",(?=\s*\w[^\s,='\"{}]*\s*=)")
_OPENS = re.compile(r"\s*[\[{'\"]")
# YAML would drop a comment, and read 12:30 as 750.
_PLAIN_TEXT = re.compile(
    r"\s*[^\s\[{'\"].*\s#.*|\s*#.*|\s*[-+]?\d+(:[0-5]?\d)+(\.\d*)?\s*", re.DOTALL
)


def parse_params(given: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` pairs, several of them in one text if they are separated by commas.

    Values are YAML as in Kedro's `--params`, which splits at every comma. Here a comma ends a value
    only where a key and `=` follow, outside of brackets and quotes. A value that is no YAML, such
    as `@daily`, is text, and so are `12:30` and what has a `#`.

    Raises:
        click.BadParameter: A pair has no key or no `=`, or a bracket or quote is not closed.
    """
    pairs = [pair.strip(", ") for text in given for pair in _pairs(text)]
    return dict(OmegaConf.to_container(OmegaConf.from_dotlist([_checked(p) for p in pairs if p])))  # type: ignore[arg-type]


def with_parsed_params(command: click.Command) -> click.Command:
    """Copy a command of Kedro whose option `--params` is then read by `parse_params`."""
    changed = copy.copy(command)
    changed.params = [_parsed(each) if each.name == "params" else each for each in command.params]
    return changed


def _parsed(option: click.Parameter) -> click.Parameter:
    parsed = copy.copy(option)
    # A dictionary comes from the file of --config.
    parsed.callback = lambda _, __, value: (
        value if isinstance(value, dict) else parse_params([value])
    )
    return parsed


def _pairs(text: str) -> Iterator[str]:
    """Split at the commas before keys, except for those inside of a YAML value."""
    pieces = _NEXT_KEY.split(text)
    while pieces:
        ends = range(1, len(pieces) + 1)
        end = next((end for end in ends if _is_yaml(",".join(pieces[:end]))), 1)
        yield ",".join(pieces[:end])
        pieces = pieces[end:]


def _checked(pair: str) -> str:
    """Return a pair that OmegaConf can parse: a value that is no YAML is quoted."""
    key, equals, value = pair.partition("=")
    if not equals or not key.strip():
        raise click.BadParameter(f"`{pair}` must be a key and a value, separated by `=`.")
    if _is_yaml(pair) and not _PLAIN_TEXT.fullmatch(value):
        return f"{key.strip()}={value}"
    if _OPENS.match(value):
        raise click.BadParameter(f"`{pair}`: a bracket or a quote is not closed, or not in place.")
    return f"{key.strip()}={json.dumps(value.strip())}"


def _is_yaml(pair: str) -> bool:
    try:
        OmegaConf.from_dotlist([f"value={pair.partition('=')[2]}"])
    except YAMLError:
        return False
    return True
