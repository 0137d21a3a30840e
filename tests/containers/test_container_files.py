"""Files for containers pass linters and schemas and agree with the project; nothing is built."""

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

from marvel_kedro.serving.processes import uvicorn_internals

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSION = "1.36"
RULES = sorted((ROOT / "observability/prometheus/rules").glob("*.yml"))
OPERATORS_OWN = ("Kustomization", "ServiceMonitor")  # not in Kubernetes' own schema
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
    """Run a linter and return its output, or nothing if it succeeds."""
    scripts = sysconfig.get_path("scripts")
    path = shutil.which(name, path=f"{scripts}{os.pathsep}{os.environ['PATH']}") or name
    done = subprocess.run([path, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@cache
def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Manifests that `kubectl apply -k` reads, by kind and name, and the ServiceMonitor."""
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    names = [*kustomization["resources"], "servicemonitor.yaml"]
    read = [one for name in names for one in yaml.safe_load_all((KUBERNETES / name).read_text())]
    return {(one["kind"], one["metadata"]["name"]): one for one in read}


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return read


def instructions() -> Iterator[tuple[str, str, str]]:
    """Yield stage, instruction and rest of each line of the Dockerfile."""
    stage = ""
    lines = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ").splitlines()
    for line in lines:
        word, _, rest = line.partition(" ")
        if not word or word.startswith("#"):
            continue
        if word == "FROM":
            stage = rest.rpartition(" ")[2]
        yield stage, word, rest


def test_hadolint_accepts_the_dockerfile() -> None:
    assert not tool("hadolint", "Dockerfile")


def test_yamllint_accepts_yaml_files() -> None:
    assert not tool("yamllint", "-d", YAMLLINT, "compose.yaml", "deploy", "observability")


def test_dockerfile_copies_existing_files() -> None:
    for stage, word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), f"{stage}: {source}"


def test_dockerfile_has_no_address_of_a_package_registry() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert "index-url" not in text.lower()
    assert "://" not in text.replace("http://..", "")


def test_compose_file_is_valid() -> None:
    PyCompose.from_json(json.dumps(compose()))


def test_compose_file_with_unknown_condition_is_invalid() -> None:
    wrong = compose()
    wrong["services"]["server"]["depends_on"]["mlflow"]["condition"] = "service_is_well"
    with pytest.raises(ValueError, match="service_is_well"):
        PyCompose.from_json(json.dumps(wrong))


def test_compose_builds_existing_stages_and_mounts_existing_files() -> None:
    stages = {stage for stage, _, _ in instructions()}
    for name, service in compose()["services"].items():
        if "build" in service:
            assert service["build"]["target"] in stages, name
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source[0] == "." else source in compose()["volumes"]


def test_compose_publishes_ports_on_localhost_only() -> None:
    for name, service in compose()["services"].items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name


def test_compose_prometheus_scrapes_existing_services() -> None:
    text = (ROOT / "observability/prometheus/prometheus.yml").read_text("utf-8")
    config = yaml.safe_load(text)
    services = compose()["services"]
    for scrape in (*config["scrape_configs"], *config["alerting"]["alertmanagers"]):
        for target in scrape["static_configs"][0]["targets"]:
            host, _, port = target.partition(":")
            assert any(one.endswith(f":{port}") for one in services[host]["ports"])


def test_compose_secrets_are_the_files_that_services_read() -> None:
    mounted = set()
    for name in ("alertmanager", "prometheus"):
        text = (ROOT / f"observability/{name}/{name}.yml").read_text("utf-8")
        secrets = set(compose()["services"][name]["secrets"])
        assert secrets == set(re.findall(r"/run/secrets/(\w+)", text))
        mounted |= secrets
    assert mounted == set(compose()["secrets"])


def test_compose_jobs_run_existing_pipelines() -> None:
    services = compose()["services"].values()
    commands = [one["command"] for one in services if "pipeline" in str(one.get("command"))]
    assert commands
    for option, pipeline in commands:
        assert option == "--pipeline"
        assert (ROOT / "src/marvel_kedro/pipelines" / pipeline / "pipeline.py").exists()


def test_images_install_the_packages_that_pipelines_import() -> None:
    """Monitoring reads the server's table with the packages of the extra `server`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    copied = [(stage, rest) for stage, word, rest in instructions() if word == "COPY"]
    assert {rest for stage, rest in copied if stage in {"job", "server"}} == {
        "--from=installed /opt/marvel /opt/marvel"
    }
    (lock,) = [rest for stage, rest in copied if stage == "installed" and ".txt" in rest]
    lines = (ROOT / lock.split()[0]).read_text("utf-8").splitlines()
    locked = {line.partition("==")[0] for line in lines if "==" in line}
    required = [*project["dependencies"], *project["optional-dependencies"]["server"]]
    names = {re.split(r"[^\w-]", one)[0] for one in required if "win32" not in one}
    assert {"deltalake", "duckdb", "kedro"} <= names <= locked


def test_kubernetes_schema_accepts_manifests() -> None:
    validated = 0
    for (kind, name), manifest in manifests().items():
        if kind not in OPERATORS_OWN:
            kubernetes_validate.validate(manifest, VERSION, strict=True)
            validated += 1
        assert manifest["apiVersion"], name
    assert validated >= 8


def test_kubernetes_schema_rejects_misspelt_field() -> None:
    wrong = json.loads(json.dumps(manifests()["StatefulSet", "marvel-server"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_selector_selects_the_server_pods() -> None:
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


def test_named_ports_are_ports_of_the_container() -> None:
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


def test_pod_has_no_privileges_beyond_serving() -> None:
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


def test_pod_has_user_volume_and_port_of_the_image() -> None:
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
    server: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))["server"]
    return float(server["grace_seconds"])


def test_grace_period_exceeds_the_servers_own() -> None:
    table = 30 + uvicorn_internals._LEEWAY_SECONDS  # `_WRITER_STOP_SECONDS` of the supervisor
    (container,) = pod()["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod()["terminationGracePeriodSeconds"] > before + grace_seconds() + table
    waits = compose()["services"]["server"]["stop_grace_period"]
    assert int(waits.removesuffix("s")) > grace_seconds() + table


def test_environment_variables_of_containers_are_read_by_the_project() -> None:
    """A misspelt variable would have no effect."""
    read = "".join(path.read_text("utf-8") for path in (ROOT / "conf").rglob("*.yml"))
    read += "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    declared = {
        name
        for service in compose()["services"].values()
        for name in service.get("environment", ())
    }
    declared |= {
        word.partition("=")[0]
        for _, kind, rest in instructions()
        if kind == "ENV"
        for word in rest.split()
    }
    kustomization = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))
    declared |= {
        one.partition("=")[0] for one in kustomization["configMapGenerator"][0]["literals"]
    }
    mine = {name for name in declared if name.startswith("MARVEL_")}
    assert {"MARVEL_PORT", "MARVEL_TOKENS_FILE"} <= mine
    assert mine <= set(re.findall(r"MARVEL_\w+", read))


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="promtool is not installed"
)
def test_promtool_accepts_config_rules_and_rule_tests() -> None:
    folder = "observability/prometheus"
    assert not tool("promtool", "check", "config", f"{folder}/prometheus.yml")
    # Only the syntax: the file of the token does not exist here.
    assert not tool("promtool", "check", "config", "--syntax-only", f"{folder}/databricks.yml")
    assert not tool("promtool", "check", "rules", *map(str, RULES))
    rules = [str(path.parents[1] / f"{path.stem}_test.yml") for path in RULES]
    assert not tool("promtool", "test", "rules", *rules)
