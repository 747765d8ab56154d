import subprocess
import sys

import pytest

from detectors.checks import unsafe


def test_insults_are_flagged_and_talk_is_not(look) -> None:
    on = {"enabled": True, "share": 1.0}

    assert look("unsafe", "you are a stupid idiot and I hate you", config=on) == {"unsafe": {"offensive": 1}}
    assert look("unsafe", "the weather is lovely today", config=on) == {"unsafe": {}}


def test_what_the_model_never_saw_is_a_probability_too() -> None:
    model = unsafe.load()

    assert 0 <= model.probability("") <= 1
    assert 0 <= model.probability("今天天气很好") <= 1


def test_the_packages_own_code_is_not_run() -> None:
    script = "import sys; from detectors.checks import unsafe; unsafe.load(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert not {"sklearn", "profanity_check"} & set(done.stdout.split())


@pytest.mark.parametrize("gone", ["profanity_check", "joblib"])
def test_without_its_extra_it_says_what_to_install(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from watchkeeper.core.errors import ConfigError

    real = unsafe.find_spec
    monkeypatch.setattr(unsafe, "find_spec", lambda name: None if name == gone else real(name))

    with pytest.raises(ConfigError, match=r"watchkeeper\[unsafe\]"):
        unsafe.load()
