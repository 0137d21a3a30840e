"""Made-up names, universes, teams and origins: none is Marvel's."""

from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from marvel_kedro.characters import marginals

Texts = npt.NDArray[np.object_]
Integers = npt.NDArray[np.int64]

_ONSETS = ("B", "Br", "C", "D", "Dr", "F", "G", "H", "J", "K", "L", "M", "N", "P", "R", "S", "T", "V", "W", "Z")  # fmt: skip
_MIDDLES = ("a", "e", "i", "o", "u", "ae")
_ENDS = ("lan", "ra", "ston", "mir", "vik")
_SURNAME_ENDS = ("dell", "borne", "wick", "gard", "sby", "moor", "thal", "quist")
_INITIALS = ("", *(f"{letter}. " for letter in "ABCDEFGHIJKLMNOPQRSTUVWXY"))
_TEAM_FIRST = ("Amber", "Silent", "Northern", "Iron", "Midnight", "Seventh", "Crimson", "Free", "Hollow", "Gilded", "Harbor", "Polar", "Granite", "Velvet", "Salt", "Winter")  # fmt: skip
_TEAM_LAST = ("Watch", "Legion", "Circle", "Brigade", "Syndicate", "Vanguard", "Court", "Initiative", "Bureau", "Riders", "Choir", "Accord", "Company", "Eight")  # fmt: skip
_SPECIES = ("Vornish", "Quellan", "Tarvek", "Ombrian", "Siltborn", "Drakkari", "Luminid", "Pellish", "Korvath", "Zennite", "Marrow-kin", "Ashfolk", "Cindrel", "Thornling", "Ulmari", "Wispkin")  # fmt: skip
_KINDS = ("", " hybrid", " clone", " spirit", " offshoot", " cyborg", " exile", " symbiote", " construct", " outcast", " magic user", " android", " royalty", " changeling", " warrior", " oracle")  # fmt: skip
_CHANGES = ("empowered by a meteor", "rebuilt with machine parts", "bound to a demon", "raised by wolves of the moon", "trained in magic", "turned into a vampire", "merged with a computer", "exposed to strange rays", "cursed at birth", "frozen for a century")  # fmt: skip
_REALMS = ("Ashen Court", "Hollow Sea", "Tenth Garden", "Clockwork Vale", "Realm of Salt", "Nowhere Bridge")  # fmt: skip
FREE_GENDERS = ("Agender", "Non-binary", "Genderfluid", 'Male , Female (as "the Twin")')

# Steps that have no factor in common with what they step through, so that no value repeats.
_NAME_STEP = 7_368_787
_NUMBER_STEP, _NUMBERS = 7_919, 99_991


def _objects(values: list[str]) -> Texts:
    return np.array(values, dtype=object)


@cache
def first_names() -> Texts:
    """600 first names."""
    return _objects(["".join(parts) for parts in product(_ONSETS, _MIDDLES, _ENDS)])


@cache
def surnames() -> Texts:
    """960 surnames."""
    return _objects(["".join(parts) for parts in product(_ONSETS, _MIDDLES, _SURNAME_ENDS)])


def most_families() -> int:
    """How many different names there are."""
    return len(first_names()) * len(surnames()) * len(_INITIALS)


def names(family: Integers) -> Texts:
    """The names of families: a different one for each number below `most_families`."""
    number = family * _NAME_STEP % most_families()
    number, first = np.divmod(number, len(first_names()))
    initial, last = np.divmod(number, len(surnames()))
    return first_names()[first] + " " + _objects(list(_INITIALS))[initial] + surnames()[last]


@cache
def universes() -> Texts:
    """The universes that recur; the first one is Earth-616."""
    recurring = ["Earth-616"]
    # The chance falls as 1 / (rank + offset), so that this is the share of the frequent ones.
    most, ordinary = (
        np.log1p(ranks / marginals.UNIVERSE_OFFSET)
        for ranks in (marginals.UNIVERSES, marginals.ORDINARY_UNIVERSES)
    )
    for index in range(1, marginals.UNIVERSES):
        kind = index * 61 % 1000 / 1000 * (1 - ordinary / most)
        if index < marginals.ORDINARY_UNIVERSES:
            kind = 1.0
        if kind < marginals.REALM_SHARE:
            recurring.append(f"{_REALMS[index % len(_REALMS)]} {index}")
        elif kind < marginals.REALM_SHARE + marginals.TEMPORARY_SHARE:
            recurring.append(f"Earth-TRN{index}")
        else:
            recurring.append(f"Earth-{1000 + index * _NUMBER_STEP % _NUMBERS}")
    return _objects(recurring)


@cache
def teams() -> Texts:
    """896 teams."""
    plain = [f"{first} {last}" for first, last in product(_TEAM_FIRST, _TEAM_LAST)]
    variants = ("", " of the North", " International", " (Second)")
    return _objects([team + variant for variant in variants for team in plain])


@cache
def other_origins() -> Texts:
    """256 origins that have nothing to do with humans."""
    return _objects([species + kind for kind, species in product(_KINDS, _SPECIES)])


@cache
def human_origins() -> Texts:
    """Origins that begin with a human."""
    mixed = [f"Human / {species} hybrid" for species in _SPECIES]
    return _objects(["Humans", "Human cyborg", *(f"Human {change}" for change in _CHANGES), *mixed])


@cache
def changes() -> Texts:
    """What may follow an origin after a comma."""
    return _objects(list(_CHANGES))
