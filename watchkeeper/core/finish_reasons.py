"""Why an answer ended, in one vocabulary over all engines, providers and clients."""

from typing import Final

NOT_GIVEN: Final = frozenset(("", "none", "null", "undefined"))
"""words for no value, in lower case"""

REASONS: Final = {
    "stop": "stop", "end_turn": "stop", "stop_sequence": "stop", "completed": "stop", "complete": "stop",
    "eos": "stop", "eos_token": "stop", "finished": "stop", "pause_turn": "stop",
    "length": "length", "max_tokens": "length", "max_output_tokens": "length", "incomplete": "length",
    "model_context_window_exceeded": "length", "error_limit": "length",
    "content_filter": "content_filter", "content-filter": "content_filter", "safety": "content_filter",
    "refusal": "content_filter", "recitation": "content_filter", "blocklist": "content_filter",
    "prohibited_content": "content_filter", "spii": "content_filter", "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter", "image_safety": "content_filter", "error_toxic": "content_filter",
    "tool_call": "tool_call", "tool_calls": "tool_call", "tool-calls": "tool_call", "function_call": "tool_call",
    "tool_use": "tool_call",
    "error": "error", "malformed_function_call": "error", "failed": "error",
    "abort": "abort", "aborted": "abort", "cancelled": "abort", "canceled": "abort",
    "repetition": "repetition",
    "compaction": "compaction",
}  # fmt: skip
"""Finish reasons as seen, in lower case, to the canonical set; anything else is `other`."""


def canonical(word: str) -> str:
    """
    One canonical reason, "" for none given.

    >>> canonical("eos_token"), canonical("FinishReason.MAX_TOKENS"), canonical("null"), canonical("whim")
    ('stop', 'length', '', 'other')
    """
    word = word.strip().strip('"').lower()
    if word.startswith("finishreason."):  # the text of a Python enumeration
        word = word[len("finishreason.") :]
    return "" if word in NOT_GIVEN else REASONS.get(word, "other")
