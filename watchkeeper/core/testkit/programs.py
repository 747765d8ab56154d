"""Programs and libraries of the operating system that some tests need."""

import ctypes
import os
import shutil
import sys
from typing import NoReturn

import pytest


def require(program: str, package: str) -> str:
    """
    Path of `program`. Where it is missing the test is skipped, named with the command that installs `package`
    (Debian's name); with REQUIRE_ALL=1 in the environment that is a failure.
    """
    path = shutil.which(program)
    if path is None:
        _missing(program, package)
    return path


def require_library(name: str, package: str) -> None:
    """The same for a shared library of Linux, such as `libgomp.so.1`."""
    if sys.platform != "linux":
        return
    try:
        ctypes.CDLL(name)
    except OSError:
        _missing(name, package)


def _missing(what: str, package: str) -> NoReturn:
    message = f"{what} is not installed; run: apt-get install {package}"
    if os.environ.get("REQUIRE_ALL", "") not in ("", "0"):
        pytest.fail(message)
    pytest.skip(message)
