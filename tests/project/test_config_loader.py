"""Configuration loaders: in several threads, and of folders and archives."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import yaml
from kedro.framework.session import KedroSession
from support.project import Project

from marvel_kedro import cli
from marvel_kedro.core.errors import ProjectError
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


ENDINGS = {
    ".tar": "tar",
    ".tar.gz": "gztar",
    ".tgz": "gztar",
    ".tar.bz2": "bztar",
    ".tbz2": "bztar",
    ".tar.xz": "xztar",
    ".txz": "xztar",
    ".zip": "zip",
}


def archive(project: Project, name: str, kind: str, top: str = "conf") -> Path:
    """Archive `conf` of a project with the folder `conf` at its top, or without one."""
    root = project.path if top == "conf" else project.path / "conf"
    made = shutil.make_archive(str(project.path / "made"), kind, root, top)
    return Path(made).rename(project.path / name)


def test_archive_of_the_configuration_may_have_each_usual_ending(project: Project) -> None:
    for ending, kind in ENDINGS.items():
        source = str(archive(project, f"conf{ending}", kind))
        loader = CONFIG_LOADER_CLASS(source, env="local", **CONFIG_LOADER_ARGS)
        assert "processing" in loader["parameters"], ending
    outcome = project.cli("--conf-source", "conf.tgz", command=cli.alerts)
    assert outcome.status == 0, outcome.output


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        pytest.param("flat.tar.gz", "has no folder 'base' below the folder at its top", id="flat"),
        pytest.param("flat.zip", "has no folder 'base' below the folder at its top", id="flat zip"),
        pytest.param("text.zip", "cannot be read: File is not a zip file", id="no zip"),
        pytest.param("text.tar", "cannot be read: truncated header", id="no tar"),
        pytest.param("zipped.tgz", "cannot be read: Not a gzipped file", id="another kind"),
        pytest.param("cut.tar.xz", "cannot be read: Compressed file ended", id="cut"),
        pytest.param(
            "text.yml",
            "cannot be read: it is no folder, and its ending is not that of an archive",
            id="no archive",
        ),
        pytest.param("data", "has no folder 'base'", id="another folder"),
    ],
)
def test_source_without_a_configuration_is_refused_with_what_works(
    name: str, cause: str, project: Project
) -> None:
    source = project.path / name
    if source.stem.startswith("flat"):
        archive(project, name, ENDINGS["".join(source.suffixes)], ".")
    elif name == "zipped.tgz":
        archive(project, name, "zip")
    elif name == "cut.tar.xz":
        source.write_bytes(archive(project, name, "xztar").read_bytes()[:1000])
    elif name != "data":
        source.write_text("no archive\n")
    for command, words in ((cli.run, ()), (cli.serve, ("--fetch",)), (cli.alerts, ())):
        outcome = project.cli(*words, "--conf-source", str(source), command=command)
        text = " ".join(outcome.output.split())
        assert outcome.status == 1
        assert text.startswith(f"Error: The configuration source {source} {cause}"), text
        assert text.count("Error:") == 1
        assert text.endswith("has that folder at its top: tar -czf conf.tar.gz conf")
    with (
        project.here(),
        KedroSession.create(project.path, conf_source=str(source)) as session,
        pytest.raises(ProjectError, match="The configuration source"),
    ):
        session.run()


def test_archive_without_the_default_environment_says_how_to_go_without_it(
    project: Project,
) -> None:
    """Such is what `kedro package` makes."""
    shutil.rmtree(project.path / "conf" / "local")
    archive(project, "conf.tgz", "gztar")
    outcome = project.cli("--conf-source", "conf.tgz", command=cli.alerts)
    assert outcome.status == 1
    assert "has no folder 'local' below" in outcome.output
    outcome = project.cli("--conf-source", "conf.tgz", "--env", "base", command=cli.alerts)
    assert outcome.status == 0, outcome.output


def test_table_of_an_environment_replaces_that_of_base(project: Project) -> None:
    columns = {"id": {"kind": "id"}, "left": {"kind": "category"}}
    described = {
        "name": "churn",
        "file": "churn.csv",
        "key": "id",
        "target": {"column": "left", "positive": "yes"},
        "columns": columns,
    }
    (project.path / "conf" / "local" / "table.yml").write_text(yaml.safe_dump({"table": described}))
    source = str(project.path / "conf")
    loader = CONFIG_LOADER_CLASS(source, env="local", **CONFIG_LOADER_ARGS)
    assert loader["parameters"]["table"] == described
    assert loader["globals"]["model_name"] == loader["globals"]["experiment"] == "churn"
    assert loader["catalog"]["raw_table"]["filepath"].endswith("01_raw/churn.csv")
    assert loader["catalog"]["records"]["validator"]["options"]["table"] == described
    base = CONFIG_LOADER_CLASS(source, env="base", **CONFIG_LOADER_ARGS)
    assert base["globals"]["model_name"] == "marvel_characters"


def test_misspelt_key_of_the_table_is_named(project: Project) -> None:
    (project.path / "conf" / "local" / "globals.yml").write_text("model_name: ${spec:nmae}")
    outcome = project.cli()
    assert outcome.status == 1
    assert "table.yml has no key nmae" in outcome.output


@pytest.mark.parametrize("text", [None, "tabel: {}"])
def test_missing_table_is_one_message(project: Project, text: str | None) -> None:
    path = project.path / "conf" / "base" / "table.yml"
    path.unlink() if text is None else path.write_text(text)
    outcome = project.cli()
    assert outcome.status == 1
    assert "conf/base/table.yml is missing or has no section `table`" in outcome.output
    assert outcome.output.count("Error:") == 1


def test_wrong_table_is_refused_with_its_key(project: Project) -> None:
    path = project.path / "conf" / "base" / "table.yml"
    path.write_text(path.read_text().replace("key: page_id", "key: page"))
    outcome = project.cli()
    assert outcome.status == 1
    assert "table: key is page, which columns lacks" in outcome.output
    assert "conf/*/table.yml" in outcome.output
