"""The traffic split: arithmetic of whole percentages, routing, and clients that move."""

from collections import Counter
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from scipy.stats import chisquare
from support.in_process import deploy, started
from support.running_server import MODEL, RECORD, Store, describe
from support.spooled import ANY_TEXT

from marvel_kedro.serving.models.deployment import Deployment
from marvel_kedro.serving.traffic_split import Router, redistribute

NAMES = ("champion", "challenger", "third")


@st.composite
def splits(draw: st.DrawFn) -> tuple[dict[str, int], list[str]]:
    """Shares that add up to 100, and the entities that are available."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=6)))
    shares = [end - start for start, end in zip([0, *cuts], [*cuts, 100], strict=True)]
    traffic = {f"entity{number}": share for number, share in enumerate(shares)}
    available = draw(st.lists(st.sampled_from(list(traffic)), unique=True, min_size=1))
    return traffic, [name for name in traffic if name in available]


@given(splits())
def test_redistribute_rounds_by_largest_remainders(
    split: tuple[dict[str, int], list[str]],
) -> None:
    traffic, available = split
    shares = redistribute(traffic, available)
    assert list(shares) == available
    assert sum(shares.values()) == 100
    total = sum(traffic[name] for name in available)
    exact = {
        name: Fraction(100 * traffic[name], total) if total else Fraction(100, len(available))
        for name in available
    }
    for name, share in shares.items():
        assert abs(share - exact[name]) < 1
        assert share == exact[name] or exact[name].denominator > 1
    # Entities rounded up have at least the remainders of those rounded down.
    up = [exact[name] % 1 for name in available if shares[name] > exact[name]]
    down = [exact[name] % 1 for name in available if shares[name] < exact[name]]
    assert min(up, default=Fraction(1)) >= max(down, default=Fraction(0))


@pytest.mark.parametrize(
    ("traffic", "available", "shares"),
    [
        ({"a": 90, "b": 10}, ["a", "b"], {"a": 90, "b": 10}),
        ({"a": 90, "b": 10}, ["b"], {"b": 100}),
        ({"a": 100, "b": 0}, ["b"], {"b": 100}),
        ({"a": 100, "b": 0, "c": 0, "d": 0}, ["b", "c", "d"], {"b": 34, "c": 33, "d": 33}),
        ({"a": 100}, ["a", "b"], {"a": 100, "b": 0}),
        ({"a": 100}, [], {}),
    ],
)
def test_redistribute_examples(
    traffic: dict[str, int], available: list[str], shares: dict[str, int]
) -> None:
    assert redistribute(traffic, available) == shares


@st.composite
def shares(draw: st.DrawFn) -> list[int]:
    """Three percentages, 100 in all."""
    low, high = sorted(draw(st.tuples(st.integers(0, 100), st.integers(0, 100))))
    return [low, high - low, 100 - high]


@given(shares(), ANY_TEXT, ANY_TEXT)
def test_same_client_is_routed_to_same_entity(parts: list[int], endpoint: str, client: str) -> None:
    routers = [Router(endpoint, NAMES, tuple(parts)) for _ in range(2)]
    chosen = {router.choose(client) for router in routers for _ in range(3)}
    assert len(chosen) == 1
    assert parts[NAMES.index(chosen.pop())] > 0


@given(shares(), st.integers(0, 2**32))
def test_requests_are_distributed_by_shares(parts: list[int], seed: int) -> None:
    router = Router("marvel", NAMES, tuple(parts))
    for clients in ([f"{seed}-{number}" for number in range(2000)], [None] * 2000):
        counts = Counter(router.choose(client) for client in clients)
        assert all(counts[name] == 0 for name, part in zip(NAMES, parts, strict=True) if not part)
        some = [(counts[name], 20 * part) for name, part in zip(NAMES, parts, strict=True) if part]
        if len(some) > 1:
            # One fair router in 10**9 fails; one that is wrong by 5 points is seen, see below.
            assert chisquare(*zip(*some, strict=True)).pvalue > 1e-9


def test_distribution_test_detects_wrong_shares() -> None:
    router = Router("marvel", NAMES[:2], (45, 55))
    counts = Counter(router.choose(f"{number}") for number in range(20_000))
    assert chisquare([counts[name] for name in NAMES[:2]], [10_000, 10_000]).pvalue < 1e-9


@given(st.integers(0, 100), st.integers(0, 100))
def test_clients_move_only_to_grown_share(before: int, after: int) -> None:
    clients = [f"{number}" for number in range(1000)]
    found = [
        [Router("marvel", NAMES[:2], (100 - share, share)).choose(client) for client in clients]
        for share in (before, after)
    ]
    moved = {pair for pair in zip(*found, strict=True) if len(set(pair)) > 1}
    grown = NAMES[1] if after > before else NAMES[0]
    assert {to for _, to in moved} <= {grown}
    count = sum(one != other for one, other in zip(*found, strict=True))
    assert abs(count / 1000 - abs(after - before) / 100) < 0.12


@given(shares(), shares())
def test_clients_move_to_share_that_grew_by_greater_factor(
    before: list[int], after: list[int]
) -> None:
    routers = [Router("marvel", NAMES, parts) for parts in (before, after)]
    chosen = [[router.choose(f"{number}") for number in range(200)] for router in routers]
    for one, other in zip(*chosen, strict=True):
        assert one is not None
        assert other is not None
        had, has = NAMES.index(one), NAMES.index(other)
        assert had == has or after[has] * before[had] > after[had] * before[has]


@pytest.mark.parametrize(("before", "after"), [
    ((50, 25, 25), (60, 20, 20)),
    ((20, 40, 40), (80, 10, 10)),
    ((50, 50, 0), (40, 40, 20)),
    ((60, 20, 20), (75, 25, 0)),  # an entity without a share gives to all others
])  # fmt: skip
def test_clients_do_not_move_between_unchanged_proportions(
    before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    clients = [f"{number}" for number in range(4000)]
    found = [
        [Router("marvel", NAMES, parts).choose(client) for client in clients]
        for parts in (before, after)
    ]
    moved = [pair for pair in zip(*found, strict=True) if len(set(pair)) > 1]
    grown = {name for name, one, other in zip(NAMES, before, after, strict=True) if other > one}
    assert {to for _, to in moved} <= grown
    assert not {had for had, _ in moved} & grown
    expected = sum(max(0, other - one) for one, other in zip(before, after, strict=True))
    assert abs(len(moved) / 40 - expected) < 4  # points; five standard errors


def test_router_without_entities_chooses_none() -> None:
    assert Router("marvel", (), ()).choose("x") is None
    assert Router("marvel", (), ()).choose(None) is None


@pytest.mark.parametrize("share", [0, 30, 100])
def test_endpoint_routes_by_shares(registered: Store, tmp_path: Path, share: int) -> None:
    traffic = {"champion": 100 - share, "challenger": share}
    with started(deploy(describe(tmp_path, traffic=traffic), registered)) as asked:
        body = {"dataframe_records": [RECORD]}
        answers = [asked.post(body | {"client_request_id": f"{n % 500}"}) for n in range(1000)]
        names = [answer.headers["served-model-name"] for answer in answers]
        assert names[:500] == names[500:]
        expected = [Router("marvel", tuple(traffic), tuple(traffic.values())).choose(f"{n}")
                    for n in range(500)]  # fmt: skip
        assert names[:500] == expected
        versions = {"champion": "1", "challenger": "2"}
        lines = asked.log_lines()[-1000:]
        assert all(versions[line["served_entity"]] == line["model_version"] for line in lines)
        of = {name: answer.body for name, answer in zip(names, answers, strict=True)}
        assert len(set(of.values())) == len(of)  # each by its own version


def test_exported_traffic_is_effective_traffic(registered: Store, tmp_path: Path) -> None:
    """Without a challenger the champion answers every request."""
    description = deploy(describe(tmp_path, traffic={"champion": 90, "challenger": 10}), registered)
    models = description.server.models
    both = Deployment.read(models)
    assert both is not None
    both.model_copy(update={"entities": both.entities[:1], "faults": {"x": "y"}}).write(models)
    with started(description) as asked:
        version = asked.get("/version").json
        assert version["traffic"] == {"champion": 100, "challenger": 0}
        exported = {
            name: REGISTRY.get_sample_value("marvel_traffic_percent", {"served_entity": name})
            for name in version["traffic"]
        }
        assert exported == version["traffic"]
        assert REGISTRY.get_sample_value("marvel_deployment_faults") == 1
        labels = {"model": MODEL, "model_version": "1", "served_entity": "champion"}
        assert REGISTRY.get_sample_value("marvel_served_version", labels) == 1
