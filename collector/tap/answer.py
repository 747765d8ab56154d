"""What is gathered of one answer while it passes. Filled on the loop's thread, read when the exchange has ended."""

from bisect import bisect_left
from typing import Any, Final

from watchkeeper.core.finish_reasons import canonical
from watchkeeper.core.vocabulary.engines import INTER_TOKEN_LATENCY

GAP_BOUNDS: Final = INTER_TOKEN_LATENCY.buckets
_MAX_CHOICES: Final = 64
_MAX_TOOLS: Final = 64
_MAX_LOGPROBS: Final = 4_096


class Answer:
    """
    Times are of one monotonic clock, in seconds. Token counts are as they came and may be anything.

    `pieces` counts content of choices, which is what tokens are estimated by.
    """

    __slots__ = (
        "cached_tokens",
        "calls",
        "decode_seconds",
        "error",
        "finished",
        "first_at",
        "gap_counts",
        "gap_sum",
        "input_tokens",
        "is_accounted",
        "is_done",
        "last_at",
        "logprobs",
        "model",
        "output_tokens",
        "pieces",
        "prefill_seconds",
        "reasoning",
        "reasoning_tokens",
        "response_id",
        "room",
        "timed_tokens",
        "tools",
        "words",
    )  # fmt: skip

    def __init__(self, room: int) -> None:
        """:param room: characters of text to keep"""
        self.model: Any = None
        self.response_id: Any = None
        self.input_tokens: Any = None
        self.output_tokens: Any = None
        self.cached_tokens: Any = None
        self.reasoning_tokens: Any = None
        self.is_accounted = False
        """the answer said what it used: better than anything else it says of tokens"""
        self.timed_tokens: dict[int, float] = {}
        """tokens made for each choice so far, as llama.cpp says beside its times"""
        self.prefill_seconds: float | None = None
        self.decode_seconds: float | None = None
        self.finished: dict[object, str] = {}
        self.tools: list[str] = []
        self.calls: dict[object, tuple[str, list[str]]] = {}
        """name and pieces of the arguments of each tool call of the first choice"""
        self.logprobs: list[float] = []
        self.words: list[str] = []
        self.reasoning: list[str] = []
        """the words that were thought, which are in `words` too"""
        self.room = room
        self.pieces = 0
        self.first_at: float | None = None
        self.last_at = 0.0
        self.gap_counts: list[int] = []
        self.gap_sum = 0.0
        self.is_done = False
        self.error = ""
        """low-cardinality word or HTTP status of a failure told inside the answer"""

    def arrived(self, at: float) -> None:
        """A chunk with content came: the first token, or the end of a gap."""
        if self.first_at is None:
            self.first_at = at
            self.gap_counts = [0] * (len(GAP_BOUNDS) + 1)
        else:
            gap = at - self.last_at
            self.gap_counts[bisect_left(GAP_BOUNDS, gap)] += 1
            self.gap_sum += gap
        self.last_at = at

    def say(self, words: object) -> None:
        """Keep text of the answer as far as there is room."""
        if self.room > 0 and isinstance(words, str):
            self.words.append(words[: self.room])
            self.room -= len(words)

    def think(self, words: object) -> None:
        """As `say`, of what was thought before it was said."""
        if self.room > 0 and isinstance(words, str):
            self.reasoning.append(words[: self.room])
            self.say(words)

    def call(self, key: object, name: object, arguments: object) -> None:
        """A tool call or the next piece of one; pieces of one have the same key."""
        self.tool(name)
        if self.room <= 0 or not isinstance(key, str | int):
            return
        if key not in self.calls and len(self.calls) < _MAX_TOOLS:
            self.calls[key] = (name if isinstance(name, str) else "", [])
        if isinstance(arguments, str) and key in self.calls:
            self.calls[key][1].append(arguments[: self.room])
            self.say(arguments)

    def weigh(self, logprobs: list[float]) -> None:
        """Log probabilities of the next tokens of the first choice. What is none is left out."""
        room = _MAX_LOGPROBS - len(self.logprobs)
        if room > 0:
            self.logprobs += [min(0.0, one) for one in logprobs[:room] if -1e4 < one < 1.0]

    def finish(self, choice: object, reason: object) -> None:
        if isinstance(reason, str) and isinstance(choice, int) and len(self.finished) < _MAX_CHOICES:
            word = canonical(reason)
            if word:
                self.finished[choice] = word

    def time(self, choice: object, tokens: float) -> None:
        """Tokens made for a choice so far."""
        if isinstance(choice, int) and (choice in self.timed_tokens or len(self.timed_tokens) < _MAX_CHOICES):
            self.timed_tokens[choice] = tokens

    def tool(self, name: object) -> None:
        if isinstance(name, str) and name and name not in self.tools and len(self.tools) < _MAX_TOOLS:
            self.tools.append(name)

    def fail(self, error: object) -> None:
        """An error object inside the answer: its code where that is an HTTP status."""
        code = error.get("code") if isinstance(error, dict) else None
        if isinstance(code, str) and code.isascii() and code.isdigit():
            code = int(code[:4])
        is_status = isinstance(code, int) and 400 <= code <= 599
        self.error = str(code) if is_status else "error_in_answer"
