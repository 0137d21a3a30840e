"""The versions on this disk: damaged ones are replaced, and nobody loads them."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml
from support.in_process import deploy
from support.running_server import MODEL, RECORD, Store, describe

from marvel_kedro.serving.configuration import Description
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployment, stamp
from marvel_kedro.serving.models.registry_watch import Registry
from marvel_kedro.serving.models.served_entities import Entities

Damage = Callable[[Path], Any]


def of(name: str, change: Callable[[bytes], bytes]) -> Damage:
    def damage(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGES: list[Damage] = [
    of("artifacts/model/booster.txt", lambda found: found[: len(found) // 2]),
    of("artifacts/model/booster.txt", lambda _: b""),
    of("artifacts/model/encoder.json", lambda found: found.replace(b"1", b"2")),
    of("MLmodel", lambda _: b""),
    of("MLmodel", lambda found: found[: len(found) // 2]),
    of(".seal.json", lambda _: b"[]"),
    lambda folder: (folder / "artifacts" / "model" / "predictor.py").unlink(),
]
WORDS = ["cut", "empty", "other", "no description", "half a description", "seal", "gone"]


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The registry that this process asks: its champion is 1, its challenger 2."""
    store.point("challenger", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(store.uri)
    return store


def fetched(description: Description) -> dict[str, Path]:
    """The folders by served entity."""
    models = description.server.models
    deployment = Registry(description, models).refresh()
    assert deployment.faults == {}
    return {entity.name: models / entity.folder for entity in deployment.entities}


def worker(description: Description, log: Path) -> Entities:
    """What a worker that has just been started answers with."""
    with log.open("ab") as stream:
        entities = Entities(description, AccessLog(stream.fileno()))
        asyncio.run(entities.look())
        return entities


@pytest.mark.parametrize("damage", DAMAGES, ids=WORDS)
def test_a_damaged_copy_is_fetched_anew(damage: Damage, asked: Store, tmp_path: Path) -> None:
    """And workers are told to look again."""
    description = describe(tmp_path)
    folders = fetched(description)
    damage(folders["champion"])
    before = stamp(description.server.models)
    registry = Registry(description, description.server.models)
    assert registry.refresh().faults == {}
    loaded_model.check_copy(folders["champion"])
    assert stamp(description.server.models) != before
    assert worker(description, tmp_path / "log").faults == {}
    assert list(description.server.models.glob(".fetch-*")) == []
    after = stamp(description.server.models)
    assert registry.refresh().faults == {}
    assert stamp(description.server.models) == after


def test_a_copy_that_is_damaged_while_a_server_runs(asked: Store, tmp_path: Path) -> None:
    description = describe(tmp_path)
    registry = Registry(description, description.server.models)
    (champion, _) = registry.refresh().entities
    DAMAGES[0](description.server.models / champion.folder)
    assert registry.refresh().faults == {}
    loaded_model.check_copy(description.server.models / champion.folder)


@pytest.mark.parametrize("damage", DAMAGES[1:4], ids=WORDS[1:4])
def test_a_damaged_copy_is_not_served_while_the_registry_is_away(
    damage: Damage, asked: Store, tmp_path: Path
) -> None:
    description = describe(tmp_path, traffic={"champion": 90, "challenger": 10})
    folders = fetched(description)
    had_it = worker(description, tmp_path / "log")
    damage(folders["champion"])
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    said = Registry(description, description.server.models).refresh().faults["champion"]
    assert "The copy of version 1 on this disk is damaged" in said
    has_not = worker(description, tmp_path / "log")
    assert [served.name for served in has_not.served] == ["challenger"]
    assert "champion: version 1 cannot be loaded" in has_not.why_not()
    assert "the copy on this disk is damaged" in has_not.why_not()
    assert str(tmp_path) not in has_not.why_not()
    assert {has_not.choose(f"{number}").name for number in range(99)} == {"challenger"}
    assert has_not.traffic == {"champion": 0, "challenger": 100}
    asyncio.run(had_it.look())
    assert had_it.traffic == {"champion": 90, "challenger": 10}
    assert [served.name for served in had_it.served] == ["champion", "challenger"]
    # The registry is there again.
    mlflow.set_tracking_uri(asked.uri)
    assert Registry(description, description.server.models).refresh().faults == {}
    asyncio.run(has_not.look())
    assert [served.name for served in has_not.served] == ["champion", "challenger"]
    assert has_not.why_not() == ""


def test_what_python_compiles_is_no_damage(tmp_path: Path) -> None:
    """Another Python, or another time of a file, and it is written anew."""
    compiled = tmp_path / "code" / "__pycache__" / "model.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"1")
    (tmp_path / "code" / "model.py").write_bytes(b"1")
    loaded_model.seal(tmp_path)
    compiled.write_bytes(b"2")
    compiled.with_name("other.pyc").write_bytes(b"2")
    loaded_model.check_copy(tmp_path)
    (tmp_path / "code" / "model.py").write_bytes(b"2")
    with pytest.raises(ValueError, match=r"damaged \(code/model.py\)"):
        loaded_model.check_copy(tmp_path)


def test_a_copy_without_a_seal_is_held_against_its_own_digest(asked: Store, tmp_path: Path) -> None:
    """An earlier server has left it, or somebody has put it there."""
    description = describe(tmp_path)
    folders = fetched(description)
    for folder in folders.values():
        (folder / ".seal.json").unlink()
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    assert worker(description, tmp_path / "log").faults == {}
    DAMAGES[1](folders["champion"])
    found = worker(description, tmp_path / "log")
    assert [served.name for served in found.served] == ["challenger"]
    mlflow.set_tracking_uri(asked.uri)
    assert Registry(description, description.server.models).refresh().faults == {}
    assert json.loads((folders["champion"] / ".seal.json").read_text())


def ending(files: Path) -> None:
    """A model of others, without a digest, that ends whoever loads it."""
    described = yaml.safe_load((files / "MLmodel").read_text())
    del described["metadata"]["model_digest"]
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    (files / "artifacts" / "model" / "predictor.py").write_text("import os\nos.abort()\n")


def test_a_model_of_others_is_tried_at_the_first_start(asked: Store, tmp_path: Path) -> None:
    version = asked.add_version(ending)
    asked.point("champion", version)
    description = describe(tmp_path)
    deployment = Registry(description, description.server.models).refresh()
    assert f"version {version} cannot be used: it does not load" in deployment.faults["champion"]
    assert [entity.name for entity in deployment.entities] == ["challenger"]
    read = Deployment.read(description.server.models)
    assert read == deployment
    assert deployment.entities[0].model == MODEL


def test_the_same_version_of_a_registry_that_was_made_anew(
    registered: Store, tmp_path: Path
) -> None:
    """It has the same number, and is another model."""
    description = deploy(describe(tmp_path), registered)
    models = description.server.models
    before = Deployment.read(models)
    assert before is not None
    champion, challenger = before.entities
    records: list[Any] = [RECORD]
    with (tmp_path / "log").open("ab") as stream, asyncio.Runner() as runner:
        entities = Entities(description, AccessLog(stream.fileno()))
        runner.run(entities.look())
        first, second = (served.loaded.score(records) for served in entities.served)
        assert first != second
        (models / "1-1").symlink_to(models / challenger.folder)
        anew = champion.model_copy(update={"folder": "1-1"})
        before.model_copy(update={"entities": (anew, challenger)}).write(models)
        runner.run(entities.look())
        assert [served.version for served in entities.served] == ["1", "2"]
        assert [served.loaded.score(records) for served in entities.served] == [second, second]


def test_a_fault_of_the_challenger_does_not_unpublish_the_champion(
    asked: Store, tmp_path: Path
) -> None:
    """Whose alias is deleted, while the challenger has never been served."""
    asked.point("challenger", asked.add_version(lambda files: (files / "MLmodel").unlink()))
    description = describe(tmp_path)
    registry = Registry(description, description.server.models)
    assert [entity.name for entity in registry.refresh().entities] == ["champion"]
    asked.client().delete_registered_model_alias(MODEL, "champion")
    for again in (registry, Registry(description, description.server.models)):
        found = again.refresh()
        assert [(entity.name, entity.version) for entity in found.entities] == [("champion", "1")]
        assert set(found.faults) == {"challenger", "registry"}
        assert "What was served goes on" in found.faults["registry"]


def test_versions_of_another_model_do_not_go_on(asked: Store, tmp_path: Path) -> None:
    """The description names another one now, and the registry is away."""
    before = describe(tmp_path)
    fetched(before)
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    described = before.model_dump()
    described["endpoint"]["model"] = "others"
    now = Description.model_validate(described)
    assert worker(now, tmp_path / "log").served == []
    found = Registry(now, now.server.models).refresh()
    assert found.entities == ()
    assert set(found.faults) == {"champion", "challenger", "traffic"}
    assert "goes on" not in " ".join(found.faults.values())
