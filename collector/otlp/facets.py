"""What one observation of a call adds to what is known of it already."""

from typing import Final

import msgspec

from watchkeeper.core.records import Completion, Vantage

CLIENT_DURATION: Final = 1
CLIENT_FIRST_TOKEN: Final = 2
ENGINE_DURATION: Final = 4
ENGINE_FIRST_TOKEN: Final = 8
ENGINE_PHASES: Final = 16
"""queue, prefill, decode"""
TEXT: Final = 32
FINISH: Final = 64
TOOLS: Final = 128

_CLIENT: Final = Vantage.CLIENT
ENGINE: Final = ENGINE_DURATION | ENGINE_FIRST_TOKEN | ENGINE_PHASES
CLIENT: Final = CLIENT_DURATION | CLIENT_FIRST_TOKEN


def of(call: Completion) -> int:
    """The facets this record carries."""
    if call.vantage is _CLIENT:
        bits = 0 if call.duration_seconds is None else CLIENT_DURATION
        if call.time_to_first_token_seconds is not None:
            bits |= CLIENT_FIRST_TOKEN
    else:
        bits = 0 if call.duration_seconds is None else ENGINE_DURATION
        if call.time_to_first_token_seconds is not None:
            bits |= ENGINE_FIRST_TOKEN
        if (call.queue_seconds, call.prefill_seconds, call.decode_seconds) != (None, None, None):
            bits |= ENGINE_PHASES
    if call.text is not None:
        bits |= TEXT
    if call.finish_reasons:
        bits |= FINISH
    if call.tool_names:
        bits |= TOOLS
    return bits


def only(
    call: Completion, bits: int, request_model: str, response_model: str, pace_seconds: float | None = None
) -> Completion:
    """
    A record of a call that was counted already, with just the facets in `bits`.

    Models are filled in where this observer did not know them. Output tokens stay: they turn a duration into a pace.

    :param pace_seconds: per output token, where `bits` bring only half of what tells it
    """
    duration = bits & (CLIENT_DURATION | ENGINE_DURATION)
    first_token = bits & (CLIENT_FIRST_TOKEN | ENGINE_FIRST_TOKEN)
    phases = bits & ENGINE_PHASES
    return msgspec.structs.replace(
        call,
        counts=False,
        request_model=call.request_model or request_model,
        response_model=call.response_model or response_model,
        duration_seconds=call.duration_seconds if duration else None,
        time_to_first_token_seconds=call.time_to_first_token_seconds if first_token else None,
        pace_seconds=pace_seconds,
        queue_seconds=call.queue_seconds if phases else None,
        prefill_seconds=call.prefill_seconds if phases else None,
        decode_seconds=call.decode_seconds if phases else None,
        finish_reasons=call.finish_reasons if bits & FINISH else (),
        tool_names=call.tool_names if bits & TOOLS else (),
        text=call.text if bits & TEXT else None,
    )
