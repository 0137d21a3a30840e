"""Generate synthetic characters in chunks: a file of any length takes bounded memory."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.characters import marginals, vocabulary
from marvel_kedro.characters.marginals import Floats, Integers, look_up, pick
from marvel_kedro.characters.outcome import DRIFT_EVENTS, OutcomeModel, Traits
from marvel_kedro.characters.vocabulary import Texts, texts
from marvel_kedro.core.progress import track
from marvel_kedro.simulation.world import MAX_ROWS, DriftOptions, SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.synthetic_rows import KEY_PREFIX

CHUNK_ROWS = 20_000
Booleans = npt.NDArray[np.bool_]


class CharacterWorld:
    """The `simulation.world.World` of synthetic characters."""

    max_rows = MAX_ROWS

    def __init__(self, table: TableSpec) -> None:
        self.table = table

    def draw(
        self, seed: int, row_seed: int, drift: DriftOptions
    ) -> tuple[str, Iterator[pd.DataFrame]]:
        """Draw records: a text that differs wherever they differ, and the chunks."""
        options = SyntheticOptions(rows=MAX_ROWS, seed=seed, row_seed=row_seed, drift=drift)
        cleaned = (
            select_usable(read_source(raw, self.table), self.table) for raw in chunks(options)
        )
        return options.model_dump_json(), cleaned

    def describe(self, drift: DriftOptions) -> str:
        """Describe drift in a sentence without its end."""
        return DRIFT_EVENTS[drift.scenario]

    def raw_rows(self, options: SyntheticOptions) -> Iterator[pd.DataFrame]:
        """Generate a raw file in chunks."""
        return make_characters(options)


def make_characters(options: SyntheticOptions) -> Iterator[pd.DataFrame]:
    """Generate a raw file and log the progress; yield frames of text with the source's columns.

    The first column, unnamed, is the row number. A chunk depends only on the options and its
    number: a longer file begins with the rows of a shorter one.
    """
    return track(chunks(options), options.rows, "synthetic rows", each=CHUNK_ROWS)


def chunks(options: SyntheticOptions) -> Iterator[pd.DataFrame]:
    """Generate the frames of a raw file lazily."""
    pilot = _traits(np.random.default_rng([options.seed, 0]), 0, shift=0)
    model = OutcomeModel.calibrated(options.drift, pilot, options.seed)
    for number in range(-(-options.rows // CHUNK_ROWS)):
        yield _chunk(number, options, model).head(options.rows - number * CHUNK_ROWS)


def _chunk(number: int, options: SyntheticOptions, model: OutcomeModel) -> pd.DataFrame:
    # Without the 2, row seed 1 of chunk 1 would be the stream that universes are drawn from.
    other = [2, options.row_seed] if options.row_seed else []
    generator = np.random.default_rng([options.seed, number, *other])
    first_row = number * CHUNK_ROWS
    traits = _traits(generator, first_row, model.shift)
    alive = generator.random(CHUNK_ROWS) < model.probabilities(traits)
    name = vocabulary.names(traits.family)
    universe = _universe_texts(traits)
    page = pd.Series(name + "_(" + universe + ")", dtype=object).str.replace(" ", "_").to_numpy()
    columns = {
        "": np.arange(first_row, first_row + CHUNK_ROWS).astype(str),
        "PageID": KEY_PREFIX + page,
        "Name": name,
        "Universe": universe,
        "URL": "https://example.org/synthetic/" + page,
        "Identity": texts(marginals.IDENTITY)[traits.identity],
        "Gender": _gender_texts(traits),
        "Alive": np.where(alive, "Alive", "Dead"),
        "Marital Status": texts(marginals.MARITAL)[traits.marital],
        "Teams": _team_texts(generator, traits),
        "Height (m)": _measurement_texts(traits.height),
        "Weight (kg)": _measurement_texts(traits.weight),
        "Origin": _origin_texts(generator, traits),
        "Creators": "",
    }
    return pd.DataFrame(columns)


def _traits(generator: np.random.Generator, first_row: int, shift: float) -> Traits:
    """Draw the fields of a chunk; `shift` moves their shares, from 0 (as measured) to 1."""
    sizes = _family_sizes(generator)
    member = np.repeat(np.arange(len(sizes)), sizes)
    variant = np.arange(len(member)) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    def uniform(shared: float) -> Floats:
        """Draw numbers from 0 to 1 that variants of one name share with that probability."""
        family, own = generator.random(len(sizes))[member], generator.random(len(member))
        return np.where(generator.random(len(member)) < shared, family, own)

    is_616 = (variant == 0) & (uniform(1.0) < marginals.FIRST_IS_616 * (1 - 0.5 * shift))
    universe = _universe_numbers(generator, member, first_row, is_616)
    identities = _by_universe(marginals.IDENTITY_SHARES, is_616)
    identity = pick(uniform(0.6), _shifted(identities, shift))
    gender = pick(uniform(0.95), np.array(marginals.GENDER_SHARES))
    marital = pick(uniform(0.5), look_up(marginals.MARITAL_SHARES, marginals.IDENTITY, identity))
    origins = _by_universe(marginals.ORIGIN_SHARES, is_616)
    origins = origins * look_up(marginals.ORIGIN_RATIOS, marginals.IDENTITY, identity)
    origins /= origins.sum(axis=1, keepdims=True)
    origin = pick(uniform(0.75), _shifted(origins, shift))
    has_teams = uniform(0.6) < look_up(marginals.TEAMS_FILLED, marginals.IDENTITY, identity)
    teams = np.where(has_teams, 1 + pick(uniform(0.3), np.array(marginals.TEAMS_COUNT)), 0)
    # A height is filled in more often the longer the page is.
    by_teams = np.array(marginals.HEIGHT_FILLED)
    heights = by_teams[np.minimum(teams, len(by_teams) - 1)]
    heights *= look_up(marginals.HEIGHT_RATIOS_BY_MARITAL, marginals.MARITAL, marital)
    heights *= _by_universe(marginals.HEIGHT_RATIOS, is_616)
    height, weight = _measurements(generator, heights * (1 + 3 * shift))
    family, effect = first_row + member, generator.normal(0, marginals.FAMILY_SPREAD, len(sizes))
    return Traits(
        family, universe, identity, gender, marital, origin, teams, height, weight, effect[member]
    )


def _family_sizes(generator: np.random.Generator) -> Integers:
    """Draw the number of variants of each name; they add up to the chunk."""
    tail = 2 + generator.pareto(marginals.VARIANTS_TAIL, CHUNK_ROWS)
    single = generator.random(CHUNK_ROWS) < marginals.SINGLE_SHARE
    sizes = np.where(single, 1, np.minimum(tail, marginals.MAX_VARIANTS).astype(np.int64))
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), CHUNK_ROWS) + 1]
    sizes[-1] -= sizes.sum() - CHUNK_ROWS
    return sizes


def _universe_numbers(
    generator: np.random.Generator, member: Integers, first_row: int, is_616: Booleans
) -> Integers:
    """Draw universes by number: 0 is Earth-616, those from `UNIVERSES` on occur once.

    Two variants of one name never share a universe, which makes the page ids unique.
    """
    offset = marginals.UNIVERSE_OFFSET
    spread = np.log1p(marginals.UNIVERSES / offset)
    rank = offset * np.exp(generator.random(len(member)) * spread) - offset + 1
    universe = np.where(is_616, 0, np.clip(rank.astype(np.int64), 1, marginals.UNIVERSES - 1))
    _, first = np.unique(member * marginals.UNIVERSES + universe, return_index=True)
    repeated = np.ones(len(member), dtype=bool)
    repeated[first] = False
    once = marginals.UNIVERSES + first_row + np.arange(len(member))
    return np.where(repeated, once, universe)


def _measurements(generator: np.random.Generator, height_shares: Floats) -> tuple[Floats, Floats]:
    """Draw heights and weights; NaN where they are not filled in."""
    rows = len(height_shares)
    has_height = generator.random(rows) < height_shares
    weight_shares = np.where(has_height, marginals.WEIGHT_GIVEN_HEIGHT, marginals.WEIGHT_ALONE)
    has_weight = generator.random(rows) < weight_shares
    size = generator.normal(size=rows)
    is_giant = generator.random(rows) < marginals.GIANT_SHARE
    giant = np.where(is_giant, 1 + generator.exponential(1.0, rows), 1.0)
    height = marginals.HEIGHT_MEDIAN * np.exp(marginals.HEIGHT_SPREAD * size) * giant
    noise = 0.7 * size + 0.7 * generator.normal(size=rows)
    weight = marginals.WEIGHT_MEDIAN * np.exp(marginals.WEIGHT_SPREAD * noise) * giant**1.5
    return (
        np.where(has_height, np.minimum(height, marginals.MAX_HEIGHT), np.nan),
        np.where(has_weight, np.minimum(weight, marginals.MAX_WEIGHT), np.nan),
    )


def _by_universe(values: Mapping[str, Any], is_616: Booleans) -> Floats:
    return look_up(values, ("other", "616"), is_616.astype(int))


def _shifted(shares: Floats, shift: float) -> Floats:
    """Move up to half of all rows to the third category: a secret identity, the origin Mutant."""
    moved = shares * (1 - 0.5 * shift)
    moved[:, 2] += 0.5 * shift
    return moved


def _log_uniform(generator: np.random.Generator, shape: Any, values: Texts) -> Texts:  # noqa: ANN401 - numpy's shapes
    """Sample values with probabilities that fall with their rank."""
    rank = np.exp(generator.random(shape) * np.log(len(values))) - 1
    return values[rank.astype(np.int64)]


def _universe_texts(traits: Traits) -> Texts:
    recurring = vocabulary.universes()
    once = traits.universe >= len(recurring)
    names = recurring[np.where(once, 0, traits.universe)]
    names[once] = [f"Earth-TRN{number}" for number in traits.universe[once]]
    return names


def _gender_texts(traits: Traits) -> Texts:
    genders = texts(marginals.GENDER)[traits.gender]
    free = vocabulary.FREE_GENDERS[traits.family % len(vocabulary.FREE_GENDERS)]
    return np.where(genders == "free", free, genders)


def _team_texts(generator: np.random.Generator, traits: Traits) -> Texts:
    """Join teams by semicolons; variants of a name tend to be in the same one."""
    teams, rows = vocabulary.TEAMS, len(traits.teams)
    columns = int(traits.teams.max(initial=1))
    chosen = _log_uniform(generator, (rows, columns), teams)
    same = generator.random(rows) < 0.5  # noqa: PLR2004 - half of them
    chosen[same, 0] = teams[(traits.family[same] * 131) % len(teams)]
    members = zip(chosen.tolist(), traits.teams.tolist(), strict=True)
    return texts("; ".join(names[:number]) for names, number in members)


def _origin_texts(generator: np.random.Generator, traits: Traits) -> Texts:
    """Write origins with the quirks of the source: commas, pipes, quotes and footnotes."""
    origins = texts(marginals.ORIGIN)[traits.origin]
    kinds = {"human and": vocabulary.HUMAN_ORIGINS, "other": vocabulary.OTHER_ORIGINS}
    for kind, values in kinds.items():
        chosen = origins == kind
        origins[chosen] = _log_uniform(generator, chosen.sum(), values)
    given = origins != ""
    changes = vocabulary.CHANGES
    change = changes[generator.integers(len(changes), size=len(origins))]

    def sample(share: float) -> Booleans:
        return given & (generator.random(len(origins)) < share)

    comma, pipe = sample(marginals.COMMA_SHARE), sample(marginals.PIPE_SHARE)
    quote, footnote = sample(marginals.QUOTE_SHARE), sample(marginals.FOOTNOTE_SHARE)
    origins[comma] = origins[comma] + ", " + change[comma]
    origins[pipe] = origins[pipe] + " | " + change[pipe]
    origins[quote] = origins[quote] + ' ("' + change[quote] + '")'
    mark = generator.integers(1, marginals.FOOTNOTES + 1, footnote.sum()).astype(str).astype(object)
    origins[footnote] = origins[footnote] + " [ " + mark + " ]"
    return origins


def _measurement_texts(values: Floats) -> Texts:
    written = np.full(len(values), "", dtype=object)
    given = ~np.isnan(values)
    written[given] = [f"{value:.2f}".rstrip("0").rstrip(".") for value in values[given]]
    return written
