"""Promises that every listed part keeps, present and future."""

import pkgutil
import re
import subprocess
import sys
import typing
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

import collector
import exporters
from detectors import checks, signals
from watchkeeper.agent.config import is_on, root_type
from watchkeeper.agent.documentation import field_docs
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.vocabulary import METRICS

PACKAGES = (collector, checks, signals, exporters)
PARTS = [plugin for package in PACKAGES for plugin in package.PLUGINS]
ROOT = Path(__file__).parents[2]


def struct_of(plugin: Plugin) -> type[msgspec.Struct]:
    found: type[msgspec.Struct] = typing.get_args(plugin.config)[0] if typing.get_args(plugin.config) else plugin.config
    return found


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_module_of_a_package_is_listed_under_its_own_name(package: ModuleType) -> None:
    on_disk = {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}

    assert on_disk == {plugin.name for plugin in package.PLUGINS}
    for plugin in package.PLUGINS:
        assert plugin.build.__module__.startswith(f"{package.__name__}.{plugin.name}")


@pytest.mark.parametrize("plugin", PARTS, ids=lambda plugin: plugin.name)
class TestPart:
    def test_its_defaults_are_a_valid_configuration(self, plugin: Plugin) -> None:
        default = () if typing.get_args(plugin.config) else plugin.config()

        assert msgspec.convert(msgspec.to_builtins(default), plugin.config) == default
        assert is_on(default) in (True, False)

    def test_every_setting_is_explained_and_refuses_unknown_neighbours(self, plugin: Plugin) -> None:
        struct = struct_of(plugin)
        names = {field.encode_name for field in msgspec.structs.fields(struct)}

        assert names == field_docs(struct).keys() & names
        assert struct.__struct_config__.forbid_unknown_fields

    def test_a_setting_that_is_a_quantity_carries_its_unit(self, plugin: Plugin) -> None:
        for field in msgspec.structs.fields(struct_of(plugin)):
            if re.search(r"timeout|interval|deadline|age|size|body|period", field.name) and "int" in str(field.type):
                assert re.search(r"_(seconds|bytes|ratio|characters|path|file)$", field.name), field.name

    def test_it_fills_only_metrics_of_the_vocabulary(self, plugin: Plugin) -> None:
        assert set(plugin.metrics) <= set(METRICS)

    def test_it_says_in_one_line_what_it_is(self, plugin: Plugin) -> None:
        assert plugin.summary.endswith(".")
        assert "\n" not in plugin.summary

    def test_its_probe_answers_without_raising(self, plugin: Plugin) -> None:
        default = () if typing.get_args(plugin.config) else plugin.config()

        assert all(isinstance(line, str) for line in plugin.probe(default))


def test_one_configuration_holds_every_part() -> None:
    root = root_type(collector.PLUGINS, exporters.PLUGINS, signals.PLUGINS, checks.PLUGINS)

    assert {plugin.name for plugin in collector.PLUGINS} <= {field.name for field in msgspec.structs.fields(root)}


def test_every_metric_is_filled_by_some_part_or_the_agent() -> None:
    from watchkeeper.core.vocabulary import capture, cost, drift, fleet, health, links, listeners, outputs
    from watchkeeper.core.vocabulary import signals as judged

    filled = {metric for plugin in PARTS for metric in plugin.metrics}
    filled |= {
        *health.METRICS,
        *cost.METRICS,
        *judged.METRICS,
        *links.METRICS,
        *listeners.METRICS,
        *drift.METRICS,
        *outputs.JUDGED,
        *fleet.METRICS,
    }
    filled |= {outputs.FAILURES, outputs.CPU_TIME, *capture.METRICS}

    assert {metric.name for metric in METRICS} == {metric.name for metric in filled}


def test_listing_the_parts_imports_nothing_heavy() -> None:
    heavy = {"numpy", "pandas", "evidently", "pynvml", "opentelemetry.sdk", "kafka", "sqlalchemy", "fasttext"}
    script = "import sys, collector, detectors.checks, detectors.signals, exporters; print(' '.join(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert not heavy & set(loaded.split())


@pytest.mark.parametrize("role", ["run", "node", "sidecar", "gateway"])
def test_what_judges_by_default_needs_no_numpy(role: str) -> None:
    script = f"""
import sys
from watchkeeper.agent import agent, command_line, config, registry, wiring
from watchkeeper.core.ledger import Ledger
settings = command_line._load(None, {{config.ENVIRONMENT_PREFIX + "ROLE": "{role}"}})
problems = []
found = wiring.judges(settings, registry.signals(), registry.checks(), Ledger(), problems)
assert settings.role == "{role}" and found.watched and not problems, problems
print(" ".join(sys.modules))
"""

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert "numpy" not in loaded.split()
