"""The chart, as both releases of helm render it. What was rendered once is not rendered again."""

import importlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import kubernetes_validate
import pytest
import yaml

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CHART: Final = REPOSITORY / "deploy/helm/watchkeeper"
RELEASE: Final = "wk"
NAMESPACE: Final = "obs"
MONITORING: Final = ("monitoring.coreos.com/v1",)

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]
Refusal = Callable[..., str]
Invalid = Callable[[Manifest, str], list[str]]


@dataclass(frozen=True)
class _Question:
    sets: tuple[str, ...]
    given: str
    presets: tuple[str, ...]
    helm: str
    kube: str
    apis: tuple[str, ...]
    chart: Path


@lru_cache(maxsize=400)
def _template(question: _Question) -> tuple[int, str, str]:
    command = [tool(question.helm), "template", RELEASE, str(question.chart), "--namespace", NAMESPACE]
    command += ["--kube-version", question.kube]
    for api in question.apis:
        command += ["--api-versions", api]
    for preset in question.presets:
        command += ["--values", str(question.chart / "presets" / f"{preset}.yaml")]
    command += ["--values", "-"]  # last: what is given wins over presets, as it does for who installs
    for one in question.sets:
        command += ["--set", one]
    environment = {**os.environ, "GOGC": "off"}  # it lives for a moment: collecting garbage is a quarter of its work
    done = subprocess.run(command, input=question.given, capture_output=True, text=True, timeout=240, env=environment)
    return done.returncode, done.stdout, done.stderr


def tool(name: str) -> str:
    """Path of helm3, helm4 or kubectl. :raises pytest.skip.Exception: where scripts/set-up could not bring it"""
    path = REPOSITORY / ".venv" / {"helm3": "helm3/helm", "helm4": "helm4/helm", "kubectl": "helm4/kubectl"}[name]
    if not os.access(path, os.X_OK):
        pytest.skip(f"{name} is not installed; run on Linux on x86-64: sh scripts/set-up test")
    return str(path)


def _ask(
    *sets: str,
    given: dict[str, Any] | None = None,
    presets: Sequence[str] = (),
    helm: str = "helm4",
    kube: str = "1.33",
    apis: Sequence[str] = MONITORING,
    chart: Path = CHART,
) -> tuple[int, str, str]:
    return _template(_Question(sets, json.dumps(given or {}), tuple(presets), helm, kube, tuple(apis), chart))


@pytest.fixture(scope="session")
def render() -> Render:
    """
    The manifests of `helm template`, in helm's order, each its own copy.

        render("gateway.replicas=2", given={"config": {}}, presets=("minimal",), helm="helm3", kube="1.28", apis=())
    """

    def render(*sets: str, **options: Any) -> list[Manifest]:
        code, out, error = _ask(*sets, **options)
        assert code == 0, error
        return [document for document in yaml.load_all(out, Loader=yaml.CSafeLoader) if document]

    return render


@pytest.fixture(scope="session")
def refusal() -> Refusal:
    """What helm says to values that it must refuse; takes what `render` takes."""

    def refusal(*sets: str, **options: Any) -> str:
        code, out, error = _ask(*sets, **options)
        assert code != 0, f"not refused:\n{out[:2000]}"
        return error

    return refusal


@pytest.fixture(scope="session")
def helm3() -> str:
    return tool("helm3")


@pytest.fixture(scope="session")
def helm4() -> str:
    return tool("helm4")


@pytest.fixture(scope="session")
def kubectl() -> str:
    return tool("kubectl")


@lru_cache(maxsize=32)
def _definitions(release: str) -> jsonschema_rs.Registry:
    text = (_schemas(release) / "_definitions.json").read_text(encoding="utf-8")
    return jsonschema_rs.Registry([("json-schema:///_definitions.json", json.loads(text))])


@lru_cache(maxsize=400)
def _validator(kind: str, api_version: str, release: str) -> jsonschema_rs.Draft202012Validator | None:
    """:returns: None where that release of Kubernetes has no such type"""
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    path = _schemas(release) / f"{kind.lower()}-{group}.json"
    if not path.is_file():
        return None
    schema = json.loads(path.read_text(encoding="utf-8"))
    return jsonschema_rs.Draft202012Validator(schema, registry=_definitions(release), base_uri="json-schema:///")


def _schemas(release: str) -> Path:
    found = Path(kubernetes_validate.__file__).parent / f"kubernetes-json-schema/v{release}.0-local-strict"
    assert found.is_dir(), f"kubernetes-validate does not know Kubernetes {release}"
    return found


def _operators(manifest: Manifest) -> list[str]:
    """Against the models of KEDA and the Prometheus operator, which by themselves overlook unknown keys."""
    package = "keda.v1alpha1" if manifest["apiVersion"].startswith("keda.sh/") else "prometheus_operator.v1"
    models = importlib.import_module(f"cloudcoil.models.{package}")
    try:
        known = getattr(models, manifest["kind"]).model_validate(manifest)
    except ValueError as error:
        return str(error).splitlines()
    return [f"{path}: unknown" for path in _unknown(manifest, known.model_dump(by_alias=True, mode="json"))]


def _unknown(document: Any, known: Any, path: str = "") -> list[str]:
    if isinstance(document, dict):
        there = known if isinstance(known, dict) else {}
        inside = [_unknown(value, there[key], f"{path}/{key}") for key, value in document.items() if key in there]
        return [f"{path}/{key}" for key in document if key not in there] + [one for some in inside for one in some]
    if isinstance(document, list):
        pairs = zip(document, known or [], strict=False)
        return [one for number, pair in enumerate(pairs) for one in _unknown(*pair, f"{path}/{number}")]
    return []


@pytest.fixture(scope="session")
def invalid() -> Invalid:
    """What a release of Kubernetes, or the operator that it is for, has against a manifest: unknown keys, too."""

    def invalid(manifest: Manifest, release: str) -> list[str]:
        if manifest["apiVersion"].startswith(("monitoring.coreos.com/", "keda.sh/")):
            return _operators(manifest)
        if (validator := _validator(manifest["kind"], manifest["apiVersion"], release)) is None:
            return [f"Kubernetes {release} has no {manifest['kind']} of {manifest['apiVersion']}"]
        errors = validator.iter_errors(manifest)
        return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in errors]

    return invalid
