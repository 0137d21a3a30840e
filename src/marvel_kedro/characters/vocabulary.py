"""Synthetic names, universes, teams and origins; none of them is from Marvel."""

from collections.abc import Iterable
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from marvel_kedro.characters import marginals
from marvel_kedro.characters.marginals import Integers

Texts = npt.NDArray[np.object_]

_ONSETS = ("B", "Br", "C", "D", "Dr", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "T", "V", "W", "Z")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u", "ae")
_ENDS = ("lan", "ra", "ston", "mir", "vik")
_SURNAME_ENDS = ("dell", "borne", "wick", "gard", "sby", "moor", "thal", "quist")
_TEAM_FIRST = ("Amber", "Silent", "Northern", "Iron", "Midnight", "Seventh", "Crimson", "Free", "Hollow", "Gilded", "Harbor", "Polar", "Granite", "Velvet", "Salt", "Winter")  # fmt: skip
_TEAM_LAST = ("Watch", "Legion", "Circle", "Brigade", "Syndicate", "Vanguard", "Court", "Initiative", "Bureau", "Riders", "Choir", "Accord", "Company", "Eight")  # fmt: skip
_SPECIES = ("Vornish", "Quellan", "Tarvek", "Ombrian", "Siltborn", "Drakkari", "Luminid", "Pellish", "Korvath", "Zennite", "Marrow-kin", "Ashfolk", "Cindrel", "Thornling", "Ulmari", "Wispkin")  # fmt: skip
_KINDS = ("", " hybrid", " clone", " spirit", " offshoot", " cyborg", " exile", " symbiote", " construct", " outcast", " magic user", " android", " royalty", " changeling", " warrior", " oracle")  # fmt: skip
_CHANGES = ("empowered by a meteor", "rebuilt with machine parts", "bound to a demon", "raised by wolves of the moon", "trained in magic", "turned into a vampire", "merged with a computer", "exposed to strange rays", "cursed at birth", "frozen for a century")  # fmt: skip
_REALMS = ("Ashen Court", "Hollow Sea", "Tenth Garden", "Clockwork Vale", "Realm of Salt", "Nowhere Bridge")  # fmt: skip

# Coprime to the number of values that they step through, so that no value repeats.
_NAME_STEP = 7_368_787
_NUMBER_STEP, _NUMBERS = 7_919, 99_991


def texts(values: Iterable[str]) -> Texts:
    """Return an array of Python strings."""
    return np.array(list(values), dtype=object)


_FIRST_NAMES = texts(map("".join, product(_ONSETS, _MIDDLES, _ENDS)))
_INITIALS = texts(["", *(f"{letter}. " for letter in "ABCDEFGHIJKLMNOPQRSTUVWXY")])
_SURNAMES = texts(map("".join, product(_ONSETS, _MIDDLES, _SURNAME_ENDS)))
FAMILIES = len(_FIRST_NAMES) * len(_INITIALS) * len(_SURNAMES)  # number of different names
_PLAIN_TEAMS = [" ".join(words) for words in product(_TEAM_FIRST, _TEAM_LAST)]
_TEAM_ENDS = ("", " of the North", " International", " (Second)")
TEAMS = texts(team + end for end in _TEAM_ENDS for team in _PLAIN_TEAMS)
FREE_GENDERS = texts(["Agender", "Non-binary", "Genderfluid", 'Male , Female (as "the Twin")'])
CHANGES = texts(_CHANGES)
_HYBRIDS = [f"Human / {species} hybrid" for species in _SPECIES]
HUMAN_ORIGINS = texts(
    ["Humans", "Human cyborg", *(f"Human {change}" for change in _CHANGES), *_HYBRIDS]
)
OTHER_ORIGINS = texts(species + kind for kind, species in product(_KINDS, _SPECIES))


def names(family: Integers) -> Texts:
    """Return the names of families: a different one for each number below `FAMILIES`."""
    number, first = np.divmod(family * _NAME_STEP % FAMILIES, len(_FIRST_NAMES))
    initial, last = np.divmod(number, len(_SURNAMES))
    return _FIRST_NAMES[first] + " " + _INITIALS[initial] + _SURNAMES[last]


@cache
def universes() -> Texts:
    """Return the universes that recur; the first one is Earth-616."""
    recurring = ["Earth-616"]
    # The probability falls as 1 / (rank + offset): these are the shares up to a rank.
    total = np.log1p(marginals.UNIVERSES / marginals.UNIVERSE_OFFSET)
    ordinary = np.log1p(marginals.ORDINARY_UNIVERSES / marginals.UNIVERSE_OFFSET)
    for index in range(1, marginals.UNIVERSES):
        kind = index * 61 % 1000 / 1000 * (1 - ordinary / total)
        if index < marginals.ORDINARY_UNIVERSES:
            kind = 1.0
        if kind < marginals.REALM_SHARE:
            recurring.append(f"{_REALMS[index % len(_REALMS)]} {index}")
        elif kind < marginals.REALM_SHARE + marginals.TEMPORARY_SHARE:
            recurring.append(f"Earth-TRN{index}")
        else:
            recurring.append(f"Earth-{1000 + index * _NUMBER_STEP % _NUMBERS}")
    return texts(recurring)
