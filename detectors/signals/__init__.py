"""Every signal: what is judged tick by tick. A new one costs its file and a line in this list."""

from typing import Final

from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = ()
