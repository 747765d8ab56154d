"""What a process and its children have used, from /proc. The process 0 has used nothing."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    if not pid:
        return
    yield pid
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            yield from _family(int(child))


def cpu_seconds(pid: int) -> float:
    """User and system time so far, in steps of 10 ms."""
    ticks = 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_SECOND


def resident_mb(pid: int) -> float:
    """Resident memory now, in units of 10^6 bytes; pages that members share count for each."""
    pages = 0
    for member in _family(pid):
        with contextlib.suppress(FileNotFoundError):
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
