"""Made-up characters, a chunk at a time, so that a file of any length takes bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.characters import marginals, outcome
from marvel_kedro.characters import vocabulary as words
from marvel_kedro.characters.marginals import pick
from marvel_kedro.characters.options import SyntheticOptions
from marvel_kedro.characters.outcome import Traits
from marvel_kedro.core.progress import track

CHUNK_ROWS = 20_000
SYNTHETIC_URL = "https://example.org/synthetic/"
"""How the URL of every synthetic row begins, which is how the project tells them from real ones."""

COLUMNS = (
    "",
    "PageID",
    "Name",
    "Universe",
    "URL",
    "Identity",
    "Gender",
    "Alive",
    "Marital Status",
    "Teams",
    "Height (m)",
    "Weight (kg)",
    "Origin",
    "Creators",
)

Integers = npt.NDArray[np.int64]
Texts = npt.NDArray[np.object_]


def is_synthetic(urls: "pd.Series[Any]") -> bool:
    """Whether any of the pages was made up here."""
    return bool(urls.str.startswith(SYNTHETIC_URL).fillna(value=False).any())


def make_characters(options: SyntheticOptions) -> Iterator[pd.DataFrame]:
    """Make a raw file.

    A chunk depends on the seed and its number alone: the first rows of a longer file are the rows
    of a shorter one.

    Returns:
        Frames of text with the source's columns (the first one, unnamed, is the row number).
    """
    return track(chunks(options), options.rows, "synthetic rows", each=CHUNK_ROWS)


def chunks(options: SyntheticOptions) -> Iterator[pd.DataFrame]:
    """Make the frames of a raw file, each when it is asked for."""
    recipe = outcome.Recipe.of(options.drift, _pilot(options.seed), options.seed)
    for number in range(-(-options.rows // CHUNK_ROWS)):
        yield _chunk(number, options, recipe).head(options.rows - number * CHUNK_ROWS)


def _pilot(seed: int) -> Traits:
    """Rows without drift, on which the share of Alive is set."""
    return _traits(np.random.default_rng([seed, 0]), 0, outcome.NO_SHIFT)


def _chunk(number: int, options: SyntheticOptions, recipe: outcome.Recipe) -> pd.DataFrame:
    # Without the 2, row seed 1 of chunk 1 would be the stream that universes are drawn from.
    other = [2, options.row_seed] if options.row_seed else []
    generator = np.random.default_rng([options.seed, number, *other])
    first_row = number * CHUNK_ROWS
    traits = _traits(generator, first_row, recipe.shift)
    alive = generator.random(CHUNK_ROWS) < recipe.probabilities(traits)
    name = words.names(traits.family)
    universe = _universe_texts(traits)
    page = pd.Series(name + "_(" + universe + ")", dtype=object).str.replace(" ", "_").to_numpy()
    columns: tuple[object, ...] = (
        np.arange(first_row, first_row + CHUNK_ROWS).astype(str),
        page,
        name,
        universe,
        SYNTHETIC_URL + page,
        _texts(marginals.IDENTITY)[traits.identity],
        _gender_texts(traits),
        np.where(alive, "Alive", "Dead"),
        _texts(marginals.MARITAL)[traits.marital],
        _team_texts(generator, traits),
        _measurement_texts(traits.height),
        _measurement_texts(traits.weight),
        _origin_texts(generator, traits),
        "",
    )
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def _traits(generator: np.random.Generator, first_row: int, shift: float) -> Traits:
    """Draw the fields of a chunk; `shift` moves their shares, from 0 (as measured) to 1."""
    sizes = _family_sizes(generator)
    member = np.repeat(np.arange(len(sizes)), sizes)
    variant = np.arange(len(member)) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    def uniform(shared: float) -> npt.NDArray[np.float64]:
        """Numbers from 0 to 1 that variants of one name share that often."""
        family, own = generator.random(len(sizes))[member], generator.random(len(member))
        return np.where(generator.random(len(member)) < shared, family, own)

    is_616 = (variant == 0) & (uniform(1.0) < marginals.FIRST_IS_616 * (1 - 0.5 * shift))
    universe = _universe_numbers(generator, member, first_row, is_616)
    where = is_616.astype(int)
    identity = pick(
        uniform(0.6), _shifted(_by_place(marginals.IDENTITY_SHARES)[where], shift, toward=2)
    )
    gender = pick(uniform(0.95), np.array(marginals.GENDER_SHARES))
    marital = pick(
        uniform(0.5), np.array([marginals.MARITAL_SHARES[k] for k in marginals.IDENTITY])[identity]
    )
    ratios = np.array([marginals.ORIGIN_RATIOS[k] for k in marginals.IDENTITY])[identity]
    origins = _by_place(marginals.ORIGIN_SHARES)[where] * ratios
    origins /= origins.sum(axis=1, keepdims=True)
    origin = pick(uniform(0.75), _shifted(origins, shift, toward=2))
    filled = np.array([marginals.TEAMS_FILLED[k] for k in marginals.IDENTITY])[identity]
    teams = np.where(
        uniform(0.6) < filled, 1 + pick(uniform(0.3), np.array(marginals.TEAMS_COUNT)), 0
    )
    filled_heights = _height_shares(is_616, teams, marital) * (1 + 3 * shift)
    height, weight = _measurements(generator, filled_heights)
    return Traits(
        family=first_row + member,
        variant=variant,
        universe=universe,
        identity=identity,
        gender=gender,
        marital=marital,
        origin=origin,
        teams=teams,
        height=height,
        weight=weight,
        family_effect=generator.normal(0, marginals.FAMILY_SPREAD, len(sizes))[member],
    )


def _family_sizes(generator: np.random.Generator) -> Integers:
    """How many variants each name of a chunk has; they add up to the chunk."""
    tail = np.minimum(
        2 + generator.pareto(marginals.VARIANTS_TAIL, CHUNK_ROWS), marginals.MOST_VARIANTS
    )
    single = generator.random(CHUNK_ROWS) < marginals.SINGLE_SHARE
    sizes = np.where(single, 1, tail.astype(np.int64))
    last = int(np.searchsorted(np.cumsum(sizes), CHUNK_ROWS))
    sizes = sizes[: last + 1]
    sizes[-1] -= sizes.sum() - CHUNK_ROWS
    return sizes


def _universe_numbers(
    generator: np.random.Generator,
    member: Integers,
    first_row: int,
    is_616: npt.NDArray[np.bool_],
) -> Integers:
    """Universes by number: 0 is Earth-616, those from `UNIVERSES` on occur once.

    Two variants of one name never share a universe, which makes the page ids unique.
    """
    offset = marginals.UNIVERSE_OFFSET
    spread = np.log1p(marginals.UNIVERSES / offset)
    rank = offset * np.exp(generator.random(len(member)) * spread) - offset + 1
    universe = np.where(is_616, 0, np.clip(rank.astype(np.int64), 1, marginals.UNIVERSES - 1))
    pair = member * marginals.UNIVERSES + universe
    _, first = np.unique(pair, return_index=True)
    repeated = np.ones(len(member), dtype=bool)
    repeated[first] = False
    once = marginals.UNIVERSES + first_row + np.arange(len(member))
    return np.where(repeated, once, universe)


def _height_shares(
    is_616: npt.NDArray[np.bool_], teams: Integers, marital: Integers
) -> npt.NDArray[np.float64]:
    """The chance that a height is filled in: measured are those whom much is written about."""
    by_teams = np.array(marginals.HEIGHT_FILLED)[
        np.minimum(teams, len(marginals.HEIGHT_FILLED) - 1)
    ]
    by_marital = np.array([marginals.HEIGHT_RATIOS_BY_MARITAL[k] for k in marginals.MARITAL])
    by_place = np.where(is_616, marginals.HEIGHT_RATIOS["616"], marginals.HEIGHT_RATIOS["other"])
    shares: npt.NDArray[np.float64] = by_teams * by_marital[marital] * by_place
    return shares


def _measurements(
    generator: np.random.Generator, share: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    rows = len(share)
    has_height = generator.random(rows) < share
    has_weight = generator.random(rows) < np.where(
        has_height, marginals.WEIGHT_GIVEN_HEIGHT, marginals.WEIGHT_ALONE
    )
    size = generator.normal(size=rows)
    giant = np.where(
        generator.random(rows) < marginals.GIANT_SHARE, 1 + generator.exponential(1.0, rows), 1.0
    )
    height = marginals.HEIGHT_MEDIAN * np.exp(marginals.HEIGHT_SPREAD * size) * giant
    noise = 0.7 * size + 0.7 * generator.normal(size=rows)
    weight = marginals.WEIGHT_MEDIAN * np.exp(marginals.WEIGHT_SPREAD * noise) * giant**1.5
    return (
        np.where(has_height, np.minimum(height, marginals.HEIGHT_MOST), np.nan),
        np.where(has_weight, np.minimum(weight, marginals.WEIGHT_MOST), np.nan),
    )


def _by_place(shares: Mapping[str, tuple[float, ...]]) -> npt.NDArray[np.float64]:
    """Shares for other universes (row 0) and for Earth-616 (row 1)."""
    return np.array([shares["other"], shares["616"]])


def _shifted(shares: npt.NDArray[np.float64], shift: float, toward: int) -> npt.NDArray[np.float64]:
    """Move up to half of all rows to one category."""
    moved = shares * (1 - 0.5 * shift)
    moved[:, toward] += 0.5 * shift
    return moved


def _texts(values: tuple[str, ...]) -> Texts:
    return np.array(values, dtype=object)


def _universe_texts(traits: Traits) -> Texts:
    recurring = words.universes()
    once = traits.universe >= len(recurring)
    texts = recurring[np.where(once, 0, traits.universe)]
    texts[once] = [f"Earth-TRN{number}" for number in traits.universe[once]]
    return texts


def _gender_texts(traits: Traits) -> Texts:
    texts = _texts(marginals.GENDER)[traits.gender]
    free = texts == "free"
    texts[free] = _texts(words.FREE_GENDERS)[traits.family[free] % len(words.FREE_GENDERS)]
    return texts


def _team_texts(generator: np.random.Generator, traits: Traits) -> Texts:
    """Teams parted by semicolons; variants of a name tend to be in the same one."""
    teams = words.teams()
    most = int(traits.teams.max(initial=1))
    rank = np.exp(generator.random((len(traits.teams), most)) * np.log(len(teams))) - 1
    chosen = teams[rank.astype(np.int64)]
    same = generator.random(len(traits.teams)) < 0.5  # noqa: PLR2004 - half of them
    chosen[same, 0] = teams[(traits.family[same] * 131) % len(teams)]
    texts = np.full(len(traits.teams), "", dtype=object)
    for number in range(most):
        member = traits.teams > number
        separator = "; " if number else ""
        texts[member] = texts[member] + separator + chosen[member, number]
    return texts


def _origin_texts(generator: np.random.Generator, traits: Traits) -> Texts:
    texts = _texts(marginals.ORIGIN)[traits.origin]
    for kind, vocabulary in (
        ("human and", words.human_origins()),
        ("other", words.other_origins()),
    ):
        chosen = texts == kind
        rank = np.exp(generator.random(chosen.sum()) * np.log(len(vocabulary))) - 1
        texts[chosen] = vocabulary[rank.astype(np.int64)]
    given = texts != ""
    change = words.changes()[generator.integers(len(words.changes()), size=len(texts))]

    def some(share: float) -> npt.NDArray[np.bool_]:
        return given & (generator.random(len(texts)) < share)

    comma, pipe = some(marginals.COMMA_SHARE), some(marginals.PIPE_SHARE)
    quote, footnote = some(marginals.QUOTE_SHARE), some(marginals.FOOTNOTE_SHARE)
    texts[comma] = texts[comma] + ", " + change[comma]
    texts[pipe] = texts[pipe] + " | " + change[pipe]
    texts[quote] = texts[quote] + ' ("' + change[quote] + '")'
    mark = generator.integers(1, marginals.FOOTNOTES + 1, footnote.sum()).astype(str).astype(object)
    texts[footnote] = texts[footnote] + " [ " + mark + " ]"
    return texts


def _measurement_texts(values: npt.NDArray[np.float64]) -> Texts:
    texts = np.full(len(values), "", dtype=object)
    given = ~np.isnan(values)
    texts[given] = [f"{value:.2f}".rstrip("0").rstrip(".") for value in values[given]]
    return texts
