"""
The last step of a build: says what is in /opt/watchkeeper and under which licences, stops where one of them may not be
shipped, leaves out tests that nobody runs, and compiles, because the file system is read-only when it runs.
"""

import compileall
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

ENVIRONMENT = Path("/opt/watchkeeper")
TOOLS = Path("/tools/bin")
DOCUMENTS = Path("/usr/share/doc/watchkeeper")

# As packages' own metadata name them. Of the LGPL are crc32c and psycopg: modules of their own, which whoever has the
# image may exchange. Nothing of the GPL or the AGPL, and nothing that names no licence.
PERMITTED = frozenset(
    (
        *("0BSD", "Apache", "Apache 2.0", "Apache License Version 2.0", "Apache Software License", "Apache-2.0"),
        *("3-Clause BSD License", "BSD License", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python"),
        *("ISC License (ISCL)", "MIT", "MIT License", "MIT-0", "TCL", "Zlib"),
        *("PSF-2.0", "Python Software Foundation License"),
        *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
        *("LGPL-3.0-only", "GNU Lesser General Public License v2 or later (LGPLv2+)"),
    )
)


def is_permitted(licence: str) -> bool:
    """Of `A AND B`, or `A; B`, both must be; of `A OR B` one. A licence may be given as its text, which begins so."""
    demanded = re.split(r" AND |; ", licence.strip().partition("\n")[0])
    return all(any(one in PERMITTED for one in demand.split(" OR ")) for demand in demanded)


def list_licences() -> None:
    listing: list[str | Path] = [TOOLS / "pip-licenses", "--python", ENVIRONMENT / "bin" / "python", "--from", "mixed"]
    found = subprocess.run([*listing, "--format", "json"], check=True, capture_output=True, text=True).stdout  # noqa: S603
    refused = [one for one in json.loads(found) if not is_permitted(one["License"])]
    for one in refused:
        print(f"finish: {one['Name']} {one['Version']}: not permitted: {one['License'][:80]!r}", file=sys.stderr)
    if refused:
        sys.exit("finish: leave the package out, or add its licence to PERMITTED after somebody has read it")
    texts = ["--format", "plain-vertical", "--with-license-file", "--no-license-path", "--with-notice-file"]
    subprocess.run([*listing, *texts, "--output-file", DOCUMENTS / "licences.txt"], check=True)  # noqa: S603


def list_parts() -> None:
    """CycloneDX, of the Python packages; those of Debian are in the image's own /var/lib/dpkg/status."""
    command = [str(TOOLS / "cyclonedx-py"), "environment", "--output-reproducible", "--pyproject", "pyproject.toml"]
    written = ["--output-file", str(DOCUMENTS / "sbom.cdx.json"), str(ENVIRONMENT / "bin" / "python")]
    subprocess.run([*command, *written], check=True)  # noqa: S603


def unused(packages: Path) -> list[Path]:
    """Their own tests, where they are many; elsewhere what is called `tests` may be needed (evidently.tests is)."""
    owners = ("numpy", "pandas", "pyarrow", "scipy", "sklearn", "statsmodels")
    return [path for owner in owners for path in (packages / owner).rglob("tests") if path.is_dir()]


def main() -> None:
    DOCUMENTS.mkdir(parents=True)
    [packages] = (ENVIRONMENT / "lib").glob("python3*/site-packages")
    list_licences()
    list_parts()
    for folder in unused(packages):
        shutil.rmtree(folder, ignore_errors=True)  # one may be within another
    if not compileall.compile_dir(packages, quiet=1, workers=0, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH):
        sys.exit("finish: a module does not compile")


if __name__ == "__main__":
    main()
