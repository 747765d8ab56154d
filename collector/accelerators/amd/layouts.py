"""
Where things stand in AMD SMI's structures.

Some have stood where they are in every release; of others a release moves the fields, or gives a number in an
enumeration another meaning. Those are in LAYOUTS, by the library's version. AMD changes its first number with them.
"""

from struct import Struct
from typing import Final

import msgspec

VERSION: Final = Struct("<II")
"""year and major number up to ROCm 6.4, major and minor from 7.0 on; the first went 23, 24, 25, 26 all the same"""
ACTIVITY: Final = Struct("<II")
VRAM: Final = Struct("<II")
CLOCK: Final = Struct("<I4xI")
ECC: Final = Struct("<QQ")
POWER_CAP: Final = Struct("<Q")
PCIE_LIMIT: Final = Struct("<H2xI")
PCIE: Final = Struct("<H2xI8x5Q")
PCIE_OFFSET: Final = 96
LINKS_OFFSET: Final = 8
LINK: Final = Struct("<16xI4xQQ16x")
MOST_LINKS: Final = 64
PAGE: Final = Struct("<16xI4x")
PARTITION: Final = Struct("<12xI")
NODES: Final = Struct("<II")
HIP_UUID: Final = (16, 64)
MARKET_NAME: Final = (0, 256)
EVENT: Final = Struct("<QI")
VIOLATIONS: Final = Struct("<16xQ5Q")
ACTIVE: Final = Struct("<5B")


class Layout(msgspec.Struct, frozen=True):
    """Of one range of releases. Offsets in bytes; a length of text is what is read of it at most."""

    power: Struct
    """current and average socket power; what stands before is the same again, for whoever reads one number"""
    active_offset: int
    """which violations are on now"""
    serial: tuple[int, int]
    driver_version: tuple[int, int]
    firmware_version: tuple[int, int]
    process: Struct | None
    """of one process: its id, and its device memory; None where another call of that name hands out ids alone"""
    xgmi: int
    """the number that says that a link is xGMI"""


_OLD_PROCESS: Final = Struct("<32xI92xQ88x")
LAYOUTS: Final[tuple[tuple[tuple[int, int], Layout], ...]] = (
    ((23, 0), Layout(Struct("<II"), 104, (148, 32), (64, 64), (160, 32), None, 1)),
    ((24, 0), Layout(Struct("<II"), 104, (148, 32), (0, 64), (160, 32), _OLD_PROCESS, 1)),
    ((24, 6), Layout(Struct("<II"), 104, (340, 32), (0, 64), (160, 32), _OLD_PROCESS, 1)),
    ((25, 0), Layout(Struct("<8xII"), 120, (532, 256), (0, 256), (544, 256), Struct("<256xI92xQ344x"), 1)),
    ((26, 0), Layout(Struct("<8xII"), 120, (532, 256), (0, 256), (768, 256), Struct("<256xI92xQ344x"), 2)),
)
"""by the version from which it holds: ROCm 6.0, 6.1, 6.2 and 6.3, 6.4, 7"""
NEWEST: Final = 26


def layout(version: tuple[int, int]) -> Layout | None:
    """None for a library that is newer than all this, or older: what moves is not read."""
    if version[0] > NEWEST:
        return None
    return next((known for since, known in reversed(LAYOUTS) if version >= since), None)
