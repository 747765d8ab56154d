import sys

import pytest

from watchkeeper.core.testkit import require, require_library


def test_an_installed_program_is_found():
    assert require("sh", "dash").endswith("/sh")


def test_a_missing_program_is_a_skip_that_names_the_command_to_install_it(monkeypatch):
    monkeypatch.delenv("REQUIRE_ALL", raising=False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-package"):
        require("no-such-program", "no-such-package")


def test_a_missing_program_is_a_failure_where_all_is_required(monkeypatch):
    monkeypatch.setenv("REQUIRE_ALL", "1")

    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-package"):
        require("no-such-program", "no-such-package")


@pytest.mark.skipif(sys.platform != "linux", reason="libraries are looked for on Linux alone")
def test_a_library_is_found_or_named_with_its_package(monkeypatch):
    monkeypatch.delenv("REQUIRE_ALL", raising=False)

    require_library("libc.so.6", "libc6")
    with pytest.raises(pytest.skip.Exception, match=r"libnone\.so\.1 is not installed; run: apt-get install libnone1"):
        require_library("libnone.so.1", "libnone1")
