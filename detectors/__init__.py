"""Checks of one output, drift of a stream, signals of machines. The list below is all there is."""

from typing import Final

from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = ()
