"""A vendor's C library for a test: compiled from a source that says what a script says, rewritten while it runs."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from watchkeeper.core.testkit.programs import require

_LOOKS_SECONDS: Final = 0.006
"""libraries look for a changed script every 5 ms"""


class FakeLibrary:
    """
    `path` is the library; `say` changes what it says. The keys are described in the source's own head.

        library = FakeLibrary.compile(Path("nvml.c"), tmp_path / "libnvidia-ml.so.1")
        library.say({"devices": 8, "dev3.temperature": 55})
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[str, str] = {}

    @classmethod
    def compile(cls, source: Path, path: Path, defines: Iterable[str] = ()) -> "FakeLibrary":
        """Skips the test, by name, where there is no gcc."""
        compiler = require("gcc", "gcc libc6-dev")
        flags = [f"-D{define}" for define in defines]
        command = [compiler, "-O2", "-shared", "-fPIC", f"-Wl,-soname,{path.name}", *flags, "-o", str(path)]
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, str(source), "-lpthread"], check=True)  # noqa: S603 - the test's own source
        return cls(path)

    def copy(self, path: Path) -> "FakeLibrary":
        """Another library, with a state and a script of its own."""
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.path, path)
        return FakeLibrary(path)

    def say(self, lines: dict[str, object]) -> None:
        """Add to what it says, or change it; None takes a line away. Heard when this returns."""
        for key, value in lines.items():
            self._lines.pop(key, None)
            if value is not None:
                self._lines[key] = str(value)
        written = self.path.with_name(f"{self.path.name}.new")
        written.write_text("".join(f"{key}={value}\n" for key, value in self._lines.items()), encoding="utf-8")
        os.replace(written, self.path.with_name(f"{self.path.name}.script"))
        time.sleep(_LOOKS_SECONDS)
