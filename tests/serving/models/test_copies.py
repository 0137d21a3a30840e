"""Copies of versions on this disk: damaged ones are replaced and never loaded."""

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

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.models import model_copies
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
DAMAGE_IDS = ["cut", "empty", "other", "no MLmodel", "half an MLmodel", "seal", "gone"]


@pytest.fixture
def asked(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Use a registry whose champion is version 1 and whose challenger is version 2."""
    store.point("challenger", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(store.uri)
    return store


def fetched(description: ServingConfiguration) -> dict[str, Path]:
    """Fetch the versions and return their folders by served entity."""
    models = description.server.models
    deployment = Registry(description, models).refresh()
    assert deployment.faults == {}
    return {entity.name: models / entity.folder for entity in deployment.entities}


def worker(description: ServingConfiguration, log: Path) -> Entities:
    """Return the loaded versions of a worker that has just started."""
    with log.open("ab", buffering=0) as stream:
        entities = Entities(description, AccessLog(stream.write))
        asyncio.run(entities.look())
        return entities


@pytest.mark.parametrize("damage", DAMAGES, ids=DAMAGE_IDS)
def test_damaged_copy_is_fetched_again(damage: Damage, asked: Store, tmp_path: Path) -> None:
    """The deployment is written again, so that workers load the new copy."""
    description = describe(tmp_path)
    folders = fetched(description)
    damage(folders["champion"])
    before = stamp(description.server.models)
    registry = Registry(description, description.server.models)
    assert registry.refresh().faults == {}
    model_copies.check_copy(folders["champion"])
    assert stamp(description.server.models) != before
    assert worker(description, tmp_path / "log").faults == {}
    assert list(description.server.models.glob(".fetch-*")) == []
    after = stamp(description.server.models)
    assert registry.refresh().faults == {}
    assert stamp(description.server.models) == after


def test_copy_damaged_while_server_runs_is_fetched_again(asked: Store, tmp_path: Path) -> None:
    description = describe(tmp_path)
    registry = Registry(description, description.server.models)
    (champion, _) = registry.refresh().entities
    DAMAGES[0](description.server.models / champion.folder)
    assert registry.refresh().faults == {}
    model_copies.check_copy(description.server.models / champion.folder)


@pytest.mark.parametrize("damage", DAMAGES[1:4], ids=DAMAGE_IDS[1:4])
def test_damaged_copy_is_not_loaded_while_registry_is_unreachable(
    damage: Damage, asked: Store, tmp_path: Path
) -> None:
    description = describe(tmp_path, traffic={"champion": 90, "challenger": 10})
    folders = fetched(description)
    running = worker(description, tmp_path / "log")
    damage(folders["champion"])
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    fault = Registry(description, description.server.models).refresh().faults["champion"]
    assert "The copy of version 1 on this disk is damaged" in fault
    restarted = worker(description, tmp_path / "log")
    assert [served.name for served in restarted.served] == ["challenger"]
    assert "champion: version 1 cannot be loaded" in restarted.why_not()
    assert "the copy on this disk is damaged" in restarted.why_not()
    assert str(tmp_path) not in restarted.why_not()
    assert {restarted.choose(f"{number}").name for number in range(99)} == {"challenger"}
    assert restarted.traffic == {"champion": 0, "challenger": 100}
    asyncio.run(running.look())
    assert running.traffic == {"champion": 90, "challenger": 10}
    assert [served.name for served in running.served] == ["champion", "challenger"]
    # The registry is reachable again.
    mlflow.set_tracking_uri(asked.uri)
    assert Registry(description, description.server.models).refresh().faults == {}
    asyncio.run(restarted.look())
    assert [served.name for served in restarted.served] == ["champion", "challenger"]
    assert restarted.why_not() == ""


def test_check_copy_ignores_compiled_python_files(tmp_path: Path) -> None:
    """Python writes them again for another version of Python or time of a file."""
    compiled = tmp_path / "code" / "__pycache__" / "model.cpython-311.pyc"
    compiled.parent.mkdir(parents=True)
    compiled.write_bytes(b"1")
    (tmp_path / "code" / "model.py").write_bytes(b"1")
    model_copies.seal(tmp_path)
    compiled.write_bytes(b"2")
    compiled.with_name("other.pyc").write_bytes(b"2")
    model_copies.check_copy(tmp_path)
    (tmp_path / "code" / "model.py").write_bytes(b"2")
    with pytest.raises(ValueError, match=r"damaged \(code/model.py\)"):
        model_copies.check_copy(tmp_path)


def test_copy_without_seal_is_checked_by_model_digest(asked: Store, tmp_path: Path) -> None:
    """It was fetched by an earlier server or by another program."""
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
    """Make a model without a digest that ends the process which loads it."""
    described = yaml.safe_load((files / "MLmodel").read_text())
    del described["metadata"]["model_digest"]
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    (files / "artifacts" / "model" / "predictor.py").write_text("import os\nos.abort()\n")


def test_version_without_digest_is_loaded_in_subprocess_at_first_start(
    asked: Store, tmp_path: Path
) -> None:
    version = asked.add_version(ending)
    asked.point("champion", version)
    description = describe(tmp_path)
    deployment = Registry(description, description.server.models).refresh()
    assert f"version {version} cannot be used: it does not load" in deployment.faults["champion"]
    assert [entity.name for entity in deployment.entities] == ["challenger"]
    read = Deployment.read(description.server.models)
    assert read == deployment
    assert deployment.entities[0].model == MODEL


def test_same_version_number_of_recreated_registry_is_loaded_again(
    registered: Store, tmp_path: Path
) -> None:
    """The version has the same number and is another model."""
    description = deploy(describe(tmp_path), registered)
    models = description.server.models
    before = Deployment.read(models)
    assert before is not None
    champion, challenger = before.entities
    records: list[Any] = [RECORD]
    with (tmp_path / "log").open("ab", buffering=0) as stream, asyncio.Runner() as runner:
        entities = Entities(description, AccessLog(stream.write))
        runner.run(entities.look())
        first, second = (served.loaded.score(records) for served in entities.served)
        assert first != second
        (models / "1-1").symlink_to(models / challenger.folder)
        recreated = champion.model_copy(update={"folder": "1-1"})
        before.model_copy(update={"entities": (recreated, challenger)}).write(models)
        runner.run(entities.look())
        assert [served.version for served in entities.served] == ["1", "2"]
        assert [served.loaded.score(records) for served in entities.served] == [second, second]


def test_broken_challenger_does_not_unpublish_champion(asked: Store, tmp_path: Path) -> None:
    """The champion's alias is deleted, while the challenger has never been served."""
    asked.point("challenger", asked.add_version(lambda files: (files / "MLmodel").unlink()))
    description = describe(tmp_path)
    registry = Registry(description, description.server.models)
    assert [entity.name for entity in registry.refresh().entities] == ["champion"]
    asked.client().delete_registered_model_alias(MODEL, "champion")
    for again in (registry, Registry(description, description.server.models)):
        found = again.refresh()
        assert [(entity.name, entity.version) for entity in found.entities] == [("champion", "1")]
        assert set(found.faults) == {"challenger", "registry"}
        assert "The versions served so far stay" in found.faults["registry"]


def test_versions_of_another_model_are_not_kept_in_service(asked: Store, tmp_path: Path) -> None:
    """The configuration names another model, and the registry is unreachable."""
    before = describe(tmp_path)
    fetched(before)
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    described = before.model_dump()
    described["endpoint"]["model"] = "others"
    now = ServingConfiguration.model_validate(described)
    assert worker(now, tmp_path / "log").served == []
    found = Registry(now, now.server.models).refresh()
    assert found.entities == ()
    assert set(found.faults) == {"champion", "challenger", "traffic"}
    assert "stay" not in " ".join(found.faults.values())
