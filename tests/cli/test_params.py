"""Values of `--params` with commas, brackets, quotes, equals signs and colons."""

from typing import Any

import click
import pytest
from support.project import Project

from marvel_kedro.cli.options import parse_params


@pytest.mark.parametrize(
    ("given", "parsed"),
    [
        ('a.b=["1 day","1 hour"]', {"a": {"b": ["1 day", "1 hour"]}}),
        ("a=1,b.c=x,", {"a": 1, "b": {"c": "x"}}),
        ("a=x, y,b=z", {"a": "x, y", "b": "z"}),
        ('a={k: 1, d: "e,f=2"},g=h', {"a": {"k": 1, "d": "e,f=2"}, "g": "h"}),
        ("a=it's,b=2", {"a": "it's", "b": 2}),
        ("a='q,b=2',c=3", {"a": "q,b=2", "c": 3}),
        ("a=http://x:80/p?q=1,2,b=@daily", {"a": "http://x:80/p?q=1,2", "b": "@daily"}),
        ("a=Error: status: 5,b=k=v", {"a": "Error: status: 5", "b": "k=v"}),
        ("a=null,b=true,c=1e3", {"a": None, "b": True, "c": 1000.0}),
        ("a=12:30,b=-1:20:30,c=[12]", {"a": "12:30", "b": "-1:20:30", "c": [12]}),
        ("a=x # y,b=#5", {"a": "x # y", "b": "#5"}),
        ("", {}),
    ],
)
def test_params_are_split_at_commas_before_keys(given: str, parsed: dict[str, Any]) -> None:
    assert parse_params([given]) == parsed


@pytest.mark.parametrize("given", ["a=[1", "a", "=1", 'a="x', "a={b"])
def test_unfinished_param_is_named(given: str) -> None:
    with pytest.raises(click.BadParameter, match=rf"`{given.replace('[', '.')}`"):
        parse_params([given])


def test_run_takes_lists_beside_other_params(project: Project) -> None:
    words = 'monitoring.granularities=["1 day","1 hour"],synthetic.rows=20'
    outcome = project.cli("--pipelines", "synthetic", "--params", words)
    assert outcome.status == 0, outcome.output
    assert len(project.raw.read_text().splitlines()) == 21
    outcome = project.cli("--params", "monitoring.granularities=[1 day,1 hour")
    assert outcome.status == 2
    assert "not closed" in outcome.output
