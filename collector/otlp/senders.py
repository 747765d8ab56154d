"""Which processes report their calls one by one, so that the same usage is not taken from their metrics as well."""

from collections import OrderedDict
from typing import Final

MAX_SENDERS: Final = 10_000
MAX_AGE_SECONDS: Final = 600.0

Sender = tuple[str, str]
"""service.name and service.instance.id"""


class Senders:
    """Remembers for ten minutes who sends calls and who does not. Not thread-safe."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Sender, float] = OrderedDict()
        self._silent: OrderedDict[Sender, float] = OrderedDict()
        self._new: list[Sender] = []

    def saw(self, sender: Sender, now: float) -> None:
        """One call came from there."""
        if not self.reports_calls(sender, now):
            self._new.append(sender)
        _note(self._seen, sender, now)

    def missed(self, sender: Sender, now: float) -> None:
        """Its calls would be here if it sent any."""
        _note(self._silent, sender, now)

    def reports_calls(self, sender: Sender, now: float) -> bool:
        return now - self._seen.get(sender, float("-inf")) <= MAX_AGE_SECONDS

    def reports_none(self, sender: Sender, now: float) -> bool:
        return now - self._silent.get(sender, float("-inf")) <= MAX_AGE_SECONDS

    def new(self) -> list[Sender]:
        """Those whose first call came since this was asked last."""
        new, self._new = self._new, []
        return new


def _note(senders: OrderedDict[Sender, float], sender: Sender, now: float) -> None:
    if sender not in senders and len(senders) >= MAX_SENDERS:
        senders.popitem(last=False)
    senders[sender] = now
