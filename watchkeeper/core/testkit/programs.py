"""Programs of the operating system that some tests need."""

import os
import shutil

import pytest


def require(program: str, package: str) -> str:
    """
    Path of `program`. Where it is missing the test is skipped, named with the command that installs `package`
    (Debian's name); with REQUIRE_ALL=1 in the environment that is a failure.
    """
    path = shutil.which(program)
    if path is not None:
        return path
    message = f"{program} is not installed; run: apt-get install {package}"
    if os.environ.get("REQUIRE_ALL", "") not in ("", "0"):
        pytest.fail(message)
    pytest.skip(message)
