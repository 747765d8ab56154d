"""The chart, as both releases of helm render it. What was rendered once is not rendered again."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

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
    done = subprocess.run(command, input=question.given, capture_output=True, text=True, timeout=60)
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
