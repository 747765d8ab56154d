"""Which processes report their calls one by one, so that the same usage is not taken from their metrics as well."""

from collections import OrderedDict
from typing import Final

MAX_SENDERS: Final = 10_000
MAX_AGE_SECONDS: Final = 600.0


class Senders:
    """Remembers (service.name, service.instance.id) for ten minutes. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], float] = OrderedDict()

    def saw(self, sender: tuple[str, str], now: float) -> None:
        """One call came from there."""
        if sender not in self._seen and len(self._seen) >= MAX_SENDERS:
            self._seen.popitem(last=False)
        self._seen[sender] = now

    def reports_calls(self, sender: tuple[str, str], now: float) -> bool:
        return now - self._seen.get(sender, float("-inf")) <= MAX_AGE_SECONDS
