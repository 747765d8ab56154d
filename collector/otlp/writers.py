"""Which instrumentation, in which version, writes the records of calls that come now."""

from collections import OrderedDict
from typing import Final

from collector.otlp.origins import Origin
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.vocabulary import links

MAX_WRITERS: Final = 1_000
_SAID_SECONDS: Final = 60.0
"""less than a gauge is kept without being set: one that writes on stays"""

_Writer = tuple[str, str, str, str]
_LABELS: Final = (*links.LINK, links.SCOPE, links.SCOPE_VERSION)


class Writers:
    """Says of each writer that it is here, once a minute while it writes. Not thread-safe."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._said: OrderedDict[_Writer, float] = OrderedDict()

    def saw(self, origin: Origin, now: float) -> None:
        """A record of a call came from there."""
        writer = (origin.namespace, origin.service, origin.scope, origin.version)
        if 0 <= now - self._said.get(writer, float("-inf")) < _SAID_SECONDS:
            return
        if writer not in self._said and len(self._said) >= MAX_WRITERS:
            self._said.popitem(last=False)
        self._said[writer] = now
        self._said.move_to_end(writer)
        self._ledger.set(links.SCHEMA, 1.0, tuple(zip(_LABELS, ("otlp", *writer), strict=True)))
