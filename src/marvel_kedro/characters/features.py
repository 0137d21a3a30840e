"""Features of Marvel characters beside those of the kinds.

The file is saved with the model: see `docs/own-data.md`.
"""

import math
import re

_NUMBERED = re.compile(r"earth-([0-9]{1,9})")


def universe_kind(universe: str) -> dict[str, float]:
    """Return the kind of a universe, the length of its name and its number."""
    numbered = _NUMBERED.fullmatch(universe)
    return {
        "universe_is_616": universe == "earth-616",
        "universe_is_temporary": universe.startswith("earth-trn"),
        "universe_is_earth": universe.startswith("earth-"),
        "universe_length": len(universe),
        "universe_number": math.log1p(int(numbered[1])) if numbered else math.nan,
    }


def teams_former(teams: str) -> bool:
    """Return whether a team is a former one."""
    return "former" in teams
