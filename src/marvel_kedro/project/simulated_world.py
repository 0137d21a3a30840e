"""Find the world that simulated traffic is drawn from."""

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import tables
from marvel_kedro.project.configuration import Configuration, project_path
from marvel_kedro.simulation.world import World, synthetic_world
from marvel_kedro.table.frames import to_pandas


def find_world(read: Configuration) -> World:
    """Create the world that the table names or, without one, that of its own test rows.

    Raises:
        ProjectError: There is no such world, or no `test_set`.
    """
    table = read.parameters.table
    if table.world is not None:
        return synthetic_world(table)
    from marvel_kedro.simulation.resampling import ResampledWorld  # noqa: PLC0415 - slow

    with tables.attached(read.names, project_path()):
        test_set = read.dataset("test_set")
        if not test_set.exists():
            raise ProjectError(
                f"test_set is not there, from which {table.row.many} are drawn: kedro run"
            )
        rows = to_pandas(test_set.load(), table.key, read.parameters.training.max_rows)
    return ResampledWorld(table, rows)
