"""
`hw.status` of a device, derived alike for all vendors. A vendor that tells it itself is believed instead; while it
should and cannot, nothing is said.
"""

from collections.abc import Mapping
from typing import Final

from collector.accelerators.driver import Measured
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

STATES: Final = ("ok", "degraded", "failed", "predicted_failure")
DRAINS: Final = frozenset(("drain_p2p", "drain_and_reset"))
"""recovery actions under which the work that runs now may go on; every other one means the device is of no use"""

_FAILED: Final = frozenset(("lost", "reset_required"))

STANDING: Final = frozenset((vocabulary.RECOVERY_ACTION, vocabulary.REPAIR_FAILED, vocabulary.REPAIR_PENDING))
"""metrics from which the status follows; they change seldom"""
AMOUNTS: Final = frozenset(
    (
        vocabulary.MEMORY_LIMIT, vocabulary.MEMORY_USAGE, vocabulary.MEMORY_UTILIZATION, vocabulary.POWER,
        vocabulary.ENERGY,
    )
)  # fmt: skip
"""metrics from which other numbers are derived; they change all the time"""

Said = Mapping[tuple[Metric, Labels], float]


def status(said: Said, unreadable: str) -> str:
    """
    In this order: failed when it is lost or a reset or reboot is asked for; predicted_failure when a memory repair
    failed; degraded when it cannot be read, a repair waits for a reset, or draining is asked for; else ok. Empty, not
    known, when we are not permitted to read it.

    :param unreadable: why it could not be read, empty when it was
    """
    if unreadable == "not_permitted":
        return ""
    asked = {
        value
        for (metric, labels), on in said.items()
        if metric is vocabulary.RECOVERY_ACTION and on
        for _, value in labels
    }
    if unreadable in _FAILED or asked - DRAINS:
        return "failed"
    if said.get((vocabulary.REPAIR_FAILED, ())):
        return "predicted_failure"
    if unreadable or asked or said.get((vocabulary.REPAIR_PENDING, ())):
        return "degraded"
    return "ok"


def derived(said: Said) -> list[Measured]:
    """What follows from what a device said: the share of its memory in use, where it gave both numbers."""
    limit, usage = said.get((vocabulary.MEMORY_LIMIT, ())), said.get((vocabulary.MEMORY_USAGE, ()))
    if not limit or usage is None or (vocabulary.MEMORY_UTILIZATION, ()) in said:
        return []
    return [Measured(vocabulary.MEMORY_UTILIZATION, usage / limit)]
