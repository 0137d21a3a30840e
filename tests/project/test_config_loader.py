"""Configuration loaders in several threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from marvel_kedro.settings import CONFIG_LOADER_ARGS, CONFIG_LOADER_CLASS


def test_loaders_in_threads_resolve_their_own_values(tmp_path: Path) -> None:
    """`kedro server start` makes a loader a request; resolvers belong to the process."""
    together = Barrier(4)

    def load(number: int) -> tuple[str, ...]:
        base = tmp_path / str(number) / "base"
        base.mkdir(parents=True)
        (tmp_path / str(number) / "local").mkdir()
        (base / "globals.yml").write_text(f"name: globals {number}\n")
        (base / "table.yml").write_text(f"table: {{name: table {number}}}\n")
        keys = "a: ${globals:name}\nb: ${runtime_params:run}\nc: ${spec:name}\n"
        (base / "parameters.yml").write_text(keys)
        together.wait()
        given = {"run": f"run {number}"}
        loader = CONFIG_LOADER_CLASS(str(base.parent), runtime_params=given, **CONFIG_LOADER_ARGS)
        together.wait()
        found = loader["parameters"]
        return found["a"], found["b"], found["c"]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(load, range(4)))
    assert found == [
        (f"globals {number}", f"run {number}", f"table {number}") for number in range(4)
    ]
