"""docs/signals.md names what is there, and all of it."""

import re
from pathlib import Path

import msgspec
import pytest

from detectors.signals import PLUGINS
from watchkeeper.core.vocabulary import METRICS

PAGE = (Path(__file__).parents[3] / "docs" / "signals.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `(\w+)` \|(.*)$", PAGE, re.MULTILINE))


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_every_signal_has_a_row_and_its_keys_exist(plugin):
    keys = {field.name for field in msgspec.structs.fields(plugin.config)}
    named = re.findall(r"`([a-z_…]+?)(?:\[\])?`", ROWS[plugin.name].split("|")[2])

    assert named
    for name in named:
        pattern = re.escape(name).replace("…", ".+") + (".*" if name.endswith("…") else "")
        assert any(re.fullmatch(pattern, key) for key in keys), name


def test_metrics_named_on_the_page_exist():
    known = {metric.prometheus_name for metric in METRICS}

    assert set(re.findall(r"\b(?:watchkeeper|hw)_\w+_\w+", PAGE)) <= known
