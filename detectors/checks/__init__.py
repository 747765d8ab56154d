"""Every check of an answer's text. A new one costs its file and a line in this list."""

from typing import Final

from detectors.checks import (
    classifier,
    compression,
    empty,
    format,
    grounding,
    injection,
    language,
    length,
    mojibake,
    pii,
    reasoning_loop,
    refusal,
    repetition,
    script,
    secrets,
    surprise,
    tail_loop,
    tool_call,
    truncation,
    unsafe,
)
from watchkeeper.core.interfaces import Plugin

PLUGINS: Final[tuple[Plugin, ...]] = (
    classifier.PLUGIN,
    compression.PLUGIN,
    empty.PLUGIN,
    format.PLUGIN,
    grounding.PLUGIN,
    injection.PLUGIN,
    language.PLUGIN,
    length.PLUGIN,
    mojibake.PLUGIN,
    pii.PLUGIN,
    reasoning_loop.PLUGIN,
    refusal.PLUGIN,
    repetition.PLUGIN,
    script.PLUGIN,
    secrets.PLUGIN,
    surprise.PLUGIN,
    tail_loop.PLUGIN,
    tool_call.PLUGIN,
    truncation.PLUGIN,
    unsafe.PLUGIN,
)
