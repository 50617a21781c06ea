"""The manifests agree with the code: settings, secrets, groups, partitions, the time of a drain."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from passferry_bootstrap.secret_files import DATABASE_URL, KEY_RINGS, PASSWORD
from passferry_contracts.registry import PASS_PARTITIONS, SERVICES
from passferry_event_bridge.settings import BridgeSettings
from passferry_runtime import serving
from passferry_runtime.settings import ServiceSettings, settings_of

FOLDER = Path(__file__).parents[2] / "deploy" / "k8s"
BASE = FOLDER / "base"
RESERVE_S = 10
BRIDGE_GROUP = BridgeSettings.model_fields["consumer_group"].default
GROUPS = {service: service for service in SERVICES} | {"event-bridge": BRIDGE_GROUP}

Manifest = dict[str, Any]


def manifests(path: Path) -> list[Manifest]:
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


SHARED: Manifest = manifests(BASE / "shared-pod.yaml")[0]["spec"]["template"]["spec"]
KUSTOMIZATION: Manifest = manifests(BASE / "kustomization.yaml")[0]
JOB: Manifest = manifests(BASE / "bootstrap-job.yaml")[0]
ALL: list[Manifest] = [
    each for name in KUSTOMIZATION["resources"] for each in manifests(BASE / name)
]


def found(kind: str, name: str) -> Manifest:
    return next(each for each in ALL if each["kind"] == kind and each["metadata"]["name"] == name)


def pod_of(service: str) -> Manifest:
    spec: Manifest = found("Deployment", service)["spec"]["template"]["spec"]
    return spec


def literals_of(kustomization: Manifest) -> dict[str, dict[str, str]]:
    return {
        each["name"]: dict(literal.split("=", 1) for literal in each["literals"])
        for each in kustomization["configMapGenerator"]
    }


def variables_of(service: str) -> dict[str, str]:
    """As the service will find them: from the two shared sources and its own."""
    container = pod_of(service)["containers"][0]
    given = {}
    for source in container["envFrom"]:
        given |= literals_of(KUSTOMIZATION)[source["configMapRef"]["name"]]
    for variable in SHARED["containers"][0]["env"] + container.get("env", []):
        given[variable["name"]] = variable["value"]
    return given


def secret_files_of(service: str) -> set[str]:
    secret = next(each for each in pod_of(service)["volumes"] if each["name"] == "secrets")
    return {item["path"] for item in secret["secret"]["items"]}


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_a_pod_is_a_setting_of_its_service_and_none_it_needs_is_missing(service):
    """proves: J97"""
    fields = settings_of(service).model_fields
    given = set()
    for variable in variables_of(service):
        name = variable.removeprefix("PASSFERRY_").lower()
        given.add(name if name in fields else name.removesuffix("_file"))
    assert given <= set(fields)
    assert {name for name, field in fields.items() if field.is_required()} <= given


@pytest.mark.parametrize("service", SERVICES)
def test_the_settings_of_a_pod_are_accepted_in_production(service, monkeypatch, tmp_path):
    for variable, value in variables_of(service).items():
        path = Path(value)
        is_content = variable in ("PASSFERRY_DATABASE_URL_FILE", "PASSFERRY_REDIS_URL_FILE")
        if is_content:
            path = tmp_path / path.name
            path.write_text("redis://r" if "REDIS" in variable else "postgresql://u:p@h/d")
        monkeypatch.setenv(variable, str(path) if is_content else value)
    settings = importlib.import_module("passferry_runtime.settings").load_settings(
        settings_of(service)
    )
    assert settings.environment == "production"
    assert settings.http_host == "0.0.0.0"  # in a pod, beside its network policy


@pytest.mark.parametrize("service", SERVICES)
def test_a_pod_holds_the_secrets_that_bootstrap_makes_for_it_and_no_other(service):
    rings = {
        ring for ring, groups in KEY_RINGS.items() if any(service in holders for holders in groups)
    }
    mounted = secret_files_of(service)
    assert mounted - {"redis_url"} == {DATABASE_URL, *rings}
    for variable, value in variables_of(service).items():
        if variable.endswith("_FILE"):
            assert value.removeprefix("/run/passferry/") in mounted


def test_the_job_migrates_every_service_and_is_named_with_the_version():
    spec = JOB["spec"]["template"]["spec"]
    passwords = next(each for each in spec["volumes"] if each["name"] == "passwords")
    paths = {
        item["path"]
        for source in passwords["projected"]["sources"]
        for item in source["secret"]["items"]
    }
    assert paths == {f"{service}/{PASSWORD}" for service in SERVICES}
    container = spec["containers"][0]
    assert {"topics", "migrate"} <= set(container["command"])
    version = container["image"].rpartition(":")[2]
    assert JOB["metadata"]["name"] == f"bootstrap-{version.replace('.', '-')}"


def test_a_pod_is_given_the_time_that_its_drain_takes():
    container = SHARED["containers"][0]
    drain_s = float(literals_of(KUSTOMIZATION)["passferry-settings"]["PASSFERRY_DRAIN_TIMEOUT_S"])
    needed_s = (
        container["lifecycle"]["preStop"]["sleep"]["seconds"]
        + drain_s
        + serving.HTTP_GRACE_S
        + serving.CLOSING_S
        + RESERVE_S
    )
    assert SHARED["terminationGracePeriodSeconds"] >= needed_s
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > serving.SCHEMA_TIMEOUT_S


def test_probes_ask_the_three_health_routes():
    container = SHARED["containers"][0]
    for probe, route in (("startup", "startup"), ("liveness", "live"), ("readiness", "ready")):
        assert container[f"{probe}Probe"]["httpGet"]["path"] == f"/healthz/{route}"


@pytest.mark.parametrize("spec", [SHARED, JOB["spec"]["template"]["spec"]], ids=["pods", "job"])
def test_pods_meet_the_restricted_level_and_get_no_variables_of_neighbours(spec):
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    context = spec["containers"][0]["securityContext"]
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("service", SERVICES)
def test_mounted_secrets_are_closed_to_others_and_images_are_pinned(service):
    pod = pod_of(service)
    for volume in pod["volumes"]:
        if "secret" in volume:
            # What a key ring in production asks for: of root, readable by the group.
            assert volume["secret"]["defaultMode"] == 0o440
    container = pod["containers"][0]
    assert container["image"].rpartition(":")[2] not in ("", "latest")
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" in resources["requests"]


@pytest.mark.parametrize("service", SERVICES)
def test_what_belongs_to_a_service_selects_its_pods(service):
    labels = {"app.kubernetes.io/name": service}
    deployment = found("Deployment", service)["spec"]
    assert deployment["selector"]["matchLabels"] == labels
    assert deployment["template"]["metadata"]["labels"] == labels
    assert found("Service", service)["spec"]["selector"] == labels
    budget = found("PodDisruptionBudget", service)["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert found("NetworkPolicy", service)["spec"]["podSelector"]["matchLabels"] == labels
    scaler = found("HorizontalPodAutoscaler", service)["spec"]
    assert scaler["scaleTargetRef"]["name"] == service
    assert 2 <= scaler["minReplicas"] <= scaler["maxReplicas"] <= PASS_PARTITIONS


def test_scaling_by_lag_names_the_groups_of_the_services_and_takes_the_place_of_the_others():
    component = FOLDER / "components" / "keda"
    scaled = {
        each["metadata"]["name"]: each for each in manifests(component / "scaled-objects.yaml")
    }
    assert set(scaled) == set(SERVICES)
    for service, each in scaled.items():
        spec = each["spec"]
        assert spec["scaleTargetRef"]["name"] == service
        assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] <= PASS_PARTITIONS
        metadata = spec["triggers"][0]["metadata"]
        assert all(isinstance(value, str) for value in metadata.values())
        assert metadata["consumerGroup"] == GROUPS[service]
        assert metadata["offsetResetPolicy"] == "earliest"
    patches = manifests(component / "kustomization.yaml")[0]["patches"]
    removed = {yaml.safe_load(patch["patch"])["metadata"]["name"] for patch in patches}
    assert removed == set(SERVICES)


@pytest.mark.parametrize("service", ["ledger", "pass-issuer", "wallet-webservice", "notifier"])
def test_a_service_names_its_group_as_itself(service):
    app = importlib.import_module(f"passferry_{service.replace('-', '_')}.app")
    group = vars(app).get("CONSUMER_GROUP") or vars(app)["NAME"]
    assert group == GROUPS[service]


def test_the_overlay_changes_only_settings_that_the_base_has():
    overlay = manifests(FOLDER / "overlays" / "production" / "kustomization.yaml")[0]
    known = literals_of(KUSTOMIZATION)
    for name, literals in literals_of(overlay).items():
        shared = set(ServiceSettings.model_fields)
        for variable in literals:
            setting = variable.removeprefix("PASSFERRY_").lower()
            assert variable in known[name] or setting in shared
    images = {each["name"] for each in overlay["images"]}
    assert images == {f"passferry/{name}" for name in (*SERVICES, "all")}
