from pathlib import Path

import pytest

from watchkeeper.agent import registry
from watchkeeper.agent.config import load, root_type
from watchkeeper.core.errors import ConfigError

WRONG = (
    "checks: {secrets: {canaries: ZXQMARKERQXZ}}",
    "checks: {secrets: {canaries: [[ZXQMARKERQXZ]]}}",
    "engines: [{url: http://a:1, headers: ZXQMARKERQXZ}]",
    "engines: [{url: http://a:1, headers: {x-key: [ZXQMARKERQXZ]}}]",
    "vendor_exporter: [{url: http://a:1, headers: {X Key: ZXQMARKERQXZ}}]",
)


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_in_what_may_be_a_secret_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    root = root_type(registry.sources(), registry.exporters(), registry.signals(), registry.checks())

    with pytest.raises(ConfigError) as caught:
        load(file, {}, root)

    [problem] = caught.value.problems
    assert "canaries" in problem or "headers" in problem
    assert "ZXQ" not in problem
