"""The deployment's files agree with the service: metrics, routes, port, user and grace period."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.app import create_app
from service.runtime.state import Loaded, ServiceState
from service.settings import Settings

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
METRIC = re.compile(r"\b(?:agelens|http|process)_[a-z_]+\b")


def _load(_: Settings) -> Loaded:
    raise AssertionError("nothing is loaded here")


def _exposed() -> set[str]:
    text = ServiceState(Settings(), _load).metrics.exposition().decode()
    families = re.findall(r"^# TYPE (\w+) (\w+)", text, flags=re.MULTILINE)
    names = {name for name, _ in families}
    parts = ("bucket", "sum", "count")
    return names | {f"{name}_{part}" for name, kind in families if kind == "histogram" for part in parts}


def _queries(path: Path) -> list[str]:
    if path.suffix == ".json":
        return [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]
    document = yaml.safe_load(path.read_text())
    if "groups" in document:
        return [rule["expr"] for group in document["groups"] for rule in group["rules"]]
    return [trigger["metadata"]["query"] for trigger in document["spec"]["triggers"]]


def _pod() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load((DOCKER / "kubernetes/deployment.yaml").read_text())["spec"]["template"][
        "spec"
    ]
    return spec


@pytest.mark.parametrize("file", ["grafana/dashboards/agelens.json", "alerts.yml", "kubernetes/scaling.yaml"])
def test_every_query_asks_for_metrics_that_the_service_exposes(file: str) -> None:
    asked = {name for query in _queries(DOCKER / file) for name in METRIC.findall(query)}
    assert asked
    assert asked - _exposed() == set()


@pytest.mark.parametrize("file", ["grafana/dashboards/agelens.json", "kubernetes/scaling.yaml"])
def test_every_query_of_predictions_counts_those_of_both_addresses(file: str) -> None:
    asked = [each for query in _queries(DOCKER / file) for each in re.findall(r'route(=~?)"([^"]*)"', query)]
    assert asked
    for operator, route in asked:
        pattern = route if operator == "=~" else re.escape(route)
        assert [path for path in ("/predict", "/v1/predict") if not re.fullmatch(pattern, path)] == []


def test_every_probe_asks_a_route_that_exists() -> None:
    (container,) = _pod()["containers"]
    paths = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert paths <= set(create_app(Settings(), load_models=_load).openapi()["paths"])
    assert len(paths) == 3


def test_a_pod_has_time_to_drain() -> None:
    (container,) = _pod()["containers"]
    before = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert _pod()["terminationGracePeriodSeconds"] >= before + Settings().drain_grace_s + 10


def test_compose_has_time_to_drain() -> None:
    grace = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]["agelens"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= Settings().drain_grace_s + 10


def test_image_and_pod_run_as_the_same_user() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    context = _pod()["securityContext"]
    assert user
    assert (int(user[1]), int(user[2])) == (context["runAsUser"], context["runAsGroup"])


def test_every_file_of_the_kustomization_is_there() -> None:
    folder = DOCKER / "kubernetes"
    listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    assert {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"} == set(listed)


def test_both_images_are_built_on_one_base_named_by_its_digest() -> None:
    bases = [
        re.findall(r"^ARG BASE=(\S+)$", file.read_text(), flags=re.MULTILINE)
        for file in (ROOT / "Dockerfile", DOCKER / "training.Dockerfile")
    ]
    assert bases[0] == bases[1]
    (base,) = bases[0]
    assert re.fullmatch(r"docker\.io/library/python:3\.1[1-3]-slim-bookworm@sha256:[0-9a-f]{64}", base)


@pytest.mark.parametrize("file", ["Dockerfile", "docker/training.Dockerfile"])
def test_every_folder_of_the_wheel_is_copied_into_the_image(file: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"])
    copied = re.findall(r"^COPY (\w+) \1$", (ROOT / file).read_text(), flags=re.MULTILINE)
    sent = re.findall(r"^!(\w+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    assert len(folders) > 3
    assert folders - set(copied) == folders - set(sent) == set()
