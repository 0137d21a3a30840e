"""The files for containers, held against linters and schemas; nothing is built here."""

import json
import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from compose_spec import PyCompose
from support.project import ROOT

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSION = "1.36"
RULES = sorted((ROOT / "observability/prometheus/rules").glob("*.yml"))
OPERATORS_OWN = ("Kustomization", "ServiceMonitor")  # no part of Kubernetes' own schema
YAMLLINT = json.dumps(
    {
        "extends": "default",
        "rules": {
            "document-start": "disable",
            "line-length": {"max": 110},
            "braces": {"max-spaces-inside": 0},
            "comments": {"min-spaces-from-content": 1},
            "truthy": {"check-keys": False},
            "octal-values": "disable",
        },
    }
)


def tool(name: str, *words: str) -> str:
    """Run a linter; what it has to say if it is not content."""
    scripts = sysconfig.get_path("scripts")
    path = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ['PATH']}") or name
    done = subprocess.run([path, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@cache
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """What `kubectl apply -k` would be given, by kind and name, and the ServiceMonitor."""
    said = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    names = [*said["resources"], "servicemonitor.yaml"]
    read = [one for name in names for one in yaml.safe_load_all((KUBERNETES / name).read_text())]
    return {(one["kind"], one["metadata"]["name"]): one for one in read}


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return read


def instructions() -> Iterator[tuple[str, str, str]]:
    """Stage, instruction and rest of each line of the Dockerfile."""
    stage = ""
    lines = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        word, _, rest = line.partition(" ")
        if not word or word.startswith("#"):
            continue
        if word == "FROM":
            stage = rest.rpartition(" ")[2]
        yield stage, word, rest


def test_hadolint_is_content() -> None:
    assert not tool("hadolint", "Dockerfile")


def test_yamllint_is_content() -> None:
    assert not tool("yamllint", "-d", YAMLLINT, "compose.yaml", "deploy", "observability")


def test_the_dockerfile_copies_what_is_in_the_context() -> None:
    for stage, word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), f"{stage}: {source}"


def test_no_address_of_a_registry_of_packages() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert "index-url" not in text.lower()
    assert "://" not in text.replace("http://..", "")


def test_compose_is_valid() -> None:
    PyCompose.from_json(json.dumps(compose()))


def test_a_wrong_compose_file_would_not_be_valid() -> None:
    wrong = compose()
    wrong["services"]["server"]["depends_on"]["mlflow"]["condition"] = "service_is_well"
    with pytest.raises(ValueError, match="service_is_well"):
        PyCompose.from_json(json.dumps(wrong))


def test_compose_builds_stages_that_there_are_and_mounts_files_that_there_are() -> None:
    stages = {stage for stage, _, _ in instructions()}
    for name, service in compose()["services"].items():
        if "build" in service:
            assert service["build"]["target"] in stages, name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source[0] == "." else source in compose()["volumes"]


def test_compose_opens_ports_to_this_machine_only() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_prometheus_of_compose_asks_a_service_that_there_is() -> None:
    text = (ROOT / "observability/prometheus/prometheus.yml").read_text("utf-8")
    said = yaml.safe_load(text)
    services = compose()["services"]
    for asked in (*said["scrape_configs"], *said["alerting"]["alertmanagers"]):
        for target in asked["static_configs"][0]["targets"]:
            host, _, port = target.partition(":")
            assert any(said.endswith(f":{port}") for said in services[host]["ports"])


def test_secrets_of_compose_are_the_files_that_are_read() -> None:
    mounted = set()
    for name in ("alertmanager", "prometheus"):
        text = (ROOT / f"observability/{name}/{name}.yml").read_text("utf-8")
        secrets = set(compose()["services"][name]["secrets"])
        assert secrets == set(re.findall(r"/run/secrets/(\w+)", text))
        mounted |= secrets
    assert mounted == set(compose()["secrets"])


def test_jobs_of_compose_run_pipelines_that_there_are() -> None:
    services = compose()["services"].values()
    commands = [one["command"] for one in services if "pipeline" in str(one.get("command"))]
    assert commands
    for option, pipeline in commands:
        assert option == "--pipeline"
        assert (ROOT / "src/marvel_kedro/pipelines" / pipeline / "pipeline.py").exists()


def test_the_images_have_what_the_pipelines_import() -> None:
    """Monitoring reads the server's table; the packages for it are those of the extra `server`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = [(stage, rest) for stage, word, rest in instructions() if word == "COPY"]
    assert {rest for stage, rest in copied if stage in {"job", "server"}} == {
        "--from=installed /opt/marvel /opt/marvel"
    }
    (lock,) = [rest for stage, rest in copied if stage == "installed" and ".txt" in rest]
    lines = (ROOT / lock.split()[0]).read_text("utf-8").splitlines()
    locked = {line.partition("==")[0] for line in lines if "==" in line}
    wanted = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    names = {re.split(r"[^\w-]", one)[0] for one in wanted if "win32" not in one}
    assert {"deltalake", "duckdb", "kedro"} <= names <= locked


def test_kubernetes_takes_the_manifests() -> None:
    taken = 0
    for (kind, name), manifest in manifests().items():
        if kind not in OPERATORS_OWN:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
            taken += 1
        assert manifest["apiVersion"], name
    assert taken >= 8


def test_a_wrong_manifest_would_not_be_taken() -> None:
    wrong = json.loads(json.dumps(manifests()["StatefulSet", "marvel-server"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_all_that_selects_pods_selects_the_servers() -> None:
    server = manifests()["StatefulSet", "marvel-server"]["spec"]
    labels = server["template"]["metadata"]["labels"].items()
    assert server["selector"]["matchLabels"].items() <= labels
    for name in ("marvel-server", "marvel-server-pods"):
        assert manifests()["Service", name]["spec"]["selector"].items() <= labels
    for kind, key in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        chosen = manifests()[kind, "marvel-server"]["spec"][key]["matchLabels"]
        assert chosen.items() <= labels, kind
    monitored = manifests()["ServiceMonitor", "marvel-server"]["spec"]["selector"]["matchLabels"]
    service = manifests()["Service", "marvel-server"]["metadata"]["labels"]
    assert monitored.items() <= service.items()
    assert ("Service", server["serviceName"]) in manifests()
    target = manifests()["HorizontalPodAutoscaler", "marvel-server"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) in manifests()


def test_ports_by_name_are_the_containers() -> None:
    (container,) = pod()["containers"]
    names = {port["name"] for port in container["ports"]}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in names
    for kind in ("marvel-server", "marvel-server-pods"):
        for port in manifests()["Service", kind]["spec"]["ports"]:
            assert port["targetPort"] in names


def pod() -> dict[str, Any]:
    found: dict[str, Any] = manifests()["StatefulSet", "marvel-server"]["spec"]["template"]["spec"]
    return found


def test_the_pod_may_do_nothing_but_serve() -> None:
    (container,) = pod()["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    everywhere = pod()["securityContext"]
    assert everywhere["runAsNonRoot"]
    assert everywhere["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod()["automountServiceAccountToken"] is False


def test_user_volume_and_port_are_those_of_the_image() -> None:
    of_server = {word: rest for stage, word, rest in instructions() if stage == "server"}
    (container,) = pod()["containers"]
    security = pod()["securityContext"]
    assert of_server["USER"] == f"{security['runAsUser']}:{security['runAsGroup']}"
    assert of_server["VOLUME"] in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert int(of_server["EXPOSE"]) == container["ports"][0]["containerPort"]
    names = {template["metadata"]["name"] for template in volume_claims()}
    names |= {volume["name"] for volume in pod()["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == names


def volume_claims() -> list[dict[str, Any]]:
    server = manifests()["StatefulSet", "marvel-server"]["spec"]
    claims: list[dict[str, Any]] = server["volumeClaimTemplates"]
    return claims


def grace_seconds() -> float:
    path = ROOT / "conf/base/serving/parameters.yml"
    said: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["server"]
    return float(said["grace_seconds"])


def test_nobody_is_killed_while_it_finishes() -> None:
    (container,) = pod()["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > before + grace_seconds()
    waits = compose()["services"]["server"]["stop_grace_period"]
    assert int(waits.removesuffix("s")) > grace_seconds()


def test_variables_of_the_project_are_read_by_its_configuration() -> None:
    """A misspelt one would be nobody's."""
    read = "".join(path.read_text("utf-8") for path in (ROOT / "conf").rglob("*.yml"))
    read += "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    said = {
        name
        for service in compose()["services"].values()
        for name in service.get("environment", ())
    }
    said |= {
        word.partition("=")[0]
        for _, kind, rest in instructions()
        if kind == "ENV"
        for word in rest.split()
    }
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    said |= {one.partition("=")[0] for one in kustomization["configMapGenerator"][0]["literals"]}
    mine = {name for name in said if name.startswith("MARVEL_")}
    assert {"MARVEL_PORT", "MARVEL_TOKENS_FILE"} <= mine
    assert mine <= set(re.findall(r"MARVEL_\w+", read))


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="promtool is not installed"
)
def test_promtool_is_content() -> None:
    folder = "observability/prometheus"
    assert not tool("promtool", "check", "config", f"{folder}/prometheus.yml")
    # Without the token's file, which nobody has here.
    assert not tool("promtool", "check", "config", "--syntax-only", f"{folder}/databricks.yml")
    assert not tool("promtool", "check", "rules", *map(str, RULES))
    rules = [str(path.parents[1] / f"{path.stem}_test.yml") for path in RULES]
    assert not tool("promtool", "test", "rules", *rules)
