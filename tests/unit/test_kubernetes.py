"""deploy/kubernetes: what Kubernetes would take, held as tightly as it can be, and in step with the settings."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config.settings import Settings, load
from supervision.parts import WORKER_MARGIN
from tasks.base_tasks import KINDS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
#: The oldest and the newest version that it is checked against.
VERSIONS = ("1.27", "1.37")
SECRETS = {"SECRET_KEY", "JWT_SECRET_KEY", "REDIS_PASSWORD", "ADMIN_PASSWORD"}


def documents(folder: str) -> list[dict[str, Any]]:
    listed = yaml.safe_load((FOLDER / folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    files = [FOLDER / folder / name for name in listed if name.endswith(".yaml")]
    assert {file.name for file in files} == {
        file.name for file in (FOLDER / folder).glob("*.yaml") if file.name != "kustomization.yaml"
    }
    return [found for file in files for found in yaml.safe_load_all(file.read_text("utf-8"))]


BASE = documents("base")
WORKLOADS = [found for found in BASE if found["kind"] in ("Deployment", "StatefulSet")]
OURS = [found for found in WORKLOADS if found["metadata"]["name"] != "redis"]


def name_of(found: dict[str, Any]) -> str:
    return f"{found['kind']} {found['metadata']['name']}"


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    pod: dict[str, Any] = workload["spec"]["template"]["spec"]
    return pod


def container_of(workload: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod_of(workload)["containers"]
    return dict(container)


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [found for found in BASE if found["kind"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("found", BASE, ids=name_of)
def test_kubernetes_knows_every_field(found: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(found, version, strict=True)


def test_a_field_that_kubernetes_does_not_know_would_be_found() -> None:
    wrong = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "dta": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_has_no_more_rights_than_the_strictest_standard_allows(workload: dict[str, Any]) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted, and a root that is read only."""
    pod, container = pod_of(workload), container_of(workload)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {kind for volume in pod["volumes"] for kind in volume if kind != "name"} <= {"emptyDir", "secret"}


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_a_pod_is_bounded_watched_and_mounts_what_it_names(workload: dict[str, Any]) -> None:
    pod, container = pod_of(workload), container_of(workload)
    assert container["resources"]["limits"]["memory"]
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert {"startupProbe", "livenessProbe"} <= container.keys()
    known = {volume["name"] for volume in pod["volumes"]}
    known |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
    assert {mount["name"] for mount in container["volumeMounts"]} == known


@pytest.mark.parametrize("workload", OURS, ids=name_of)
def test_a_process_runs_as_in_docker_compose(workload: dict[str, Any]) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    assert container_of(workload)["command"] == compose[workload["metadata"]["name"]]["command"]
    paths = {mount["mountPath"] for mount in container_of(workload)["volumeMounts"]}
    assert {"/app/var", "/app/logs", "/tmp"} <= paths
    assert f"useradd --uid {pod_of(workload)['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("workload", WORKLOADS, ids=name_of)
def test_selectors_find_their_pods(workload: dict[str, Any]) -> None:
    labels = workload["spec"]["template"]["metadata"]["labels"].items()
    assert workload["spec"]["selector"]["matchLabels"].items() <= labels
    budgets = [
        found["spec"]
        for found in of_kind("PodDisruptionBudget")
        if found["metadata"] == {"name": workload["metadata"]["name"]}
    ]
    (budget,) = budgets
    assert budget["selector"]["matchLabels"].items() <= labels
    for service in of_kind("Service"):
        if service["metadata"]["name"] == workload["metadata"]["name"]:
            assert service["spec"]["selector"].items() <= labels


def test_every_autoscaler_scales_something_whose_replicas_nobody_else_sets() -> None:
    by_name = {found["metadata"]["name"]: found for found in OURS}
    for scaler in of_kind("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert target["kind"] == "Deployment"
        assert "replicas" not in by_name[target["name"]]["spec"]


def environment() -> dict[str, str]:
    (settings,) = of_kind("ConfigMap")
    found: dict[str, str] = dict(settings["data"])
    for workload in OURS:
        found |= {each["name"]: each["value"] for each in container_of(workload).get("env", ())}
    return found


def test_the_settings_are_settings_and_their_secrets_are_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (api,) = [found for found in OURS if found["metadata"]["name"] == "api"]
    items = next(volume["secret"]["items"] for volume in pod_of(api)["volumes"] if volume["name"] == "secrets")
    mounted = {f"/run/secrets/tms/{item['path']}" for item in items}
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
    for name, value in environment().items():
        assert name.removesuffix("_FILE").lower() in Settings.model_fields
        if name.endswith("_FILE"):
            assert value in mounted
            file = tmp_path / Path(value).name
            file.write_text(f"{file.name.lower()}-3f8a1c0e9b7d4256")
            monkeypatch.setenv(name, str(file))
        else:
            monkeypatch.setenv(name, value)
    settings = load(data_dir=tmp_path / "var", log_dir=tmp_path / "logs")
    assert settings.auth_is_required
    assert not settings.allow_anonymous_network
    for workload in OURS:
        if workload["metadata"]["name"] == "worker":
            patience = pod_of(workload)["terminationGracePeriodSeconds"]
            assert patience > settings.grace_seconds + WORKER_MARGIN


def test_the_page_makes_the_secret_that_the_pods_want() -> None:
    page = (FOLDER / "README.md").read_text("utf-8")
    assert set(re.findall(r"--from-literal=(\w+)=", page)) == SECRETS
    wanted = {
        item["key"]
        for workload in WORKLOADS
        for volume in pod_of(workload)["volumes"]
        if "secret" in volume
        for item in volume["secret"]["items"]
    }
    assert wanted == SECRETS


def test_keda_asks_for_what_health_tells_and_scales_the_worker() -> None:
    (scaled,) = documents("keda")
    assert scaled["spec"]["scaleTargetRef"] == {"name": "worker"}
    places = {trigger["metadata"]["valueLocation"] for trigger in scaled["spec"]["triggers"]}
    assert places == {f"queues.{kind.name}" for kind in KINDS}
    for trigger in scaled["spec"]["triggers"]:
        assert trigger["type"] == "metrics-api"
        assert trigger["metadata"]["url"] == "http://api.tms.svc/api/health"
