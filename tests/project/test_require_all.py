import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPS = {
    "by_mark": "import pytest\n@pytest.mark.skip(reason='no cat here')\ndef test_one(): pass",
    "while_running": "import pytest\ndef test_one(): pytest.skip('no cat here')",
    "of_a_module": "import pytest\npytest.skip('no cat here', allow_module_level=True)",
}


@pytest.mark.parametrize("name", SKIPS)
def test_a_skip_is_named_and_passes_unless_all_is_required(name, tmp_path):
    skipped, text = run_pytest(tmp_path, SKIPS[name], require_all="0")
    failed, failed_text = run_pytest(tmp_path, SKIPS[name], require_all="1")

    assert (skipped, "no cat here" in text) == (5 if name == "of_a_module" else 0, True)
    assert failed not in (0, 5)
    assert "REQUIRE_ALL=1 allows no skip. Skipped: no cat here" in failed_text


def test_an_expected_failure_is_no_skip(tmp_path):
    text = "import pytest\n@pytest.mark.xfail\ndef test_one(): assert False"

    assert run_pytest(tmp_path, text, require_all="1")[0] == 0


def test_hardware_that_is_not_there_is_a_skip_even_where_all_is_required(tmp_path):
    text = "import pytest\n@pytest.mark.skip(reason='needs hardware: a GPU')\ndef test_one(): assert False"
    code, told = run_pytest(tmp_path, text, require_all="1")

    assert code == 0
    assert "needs hardware: a GPU" in told


def run_pytest(folder: Path, text: str, require_all: str) -> tuple[int, str]:
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_sample.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", folder],
        env={**os.environ, "REQUIRE_ALL": require_all, "PYTEST_ADDOPTS": ""},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout
