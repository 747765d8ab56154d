"""The causes that can be told, by what moves with them: names of candidates, and in which direction."""

from enum import IntEnum
from typing import Final

import msgspec

PAGE: Final = "docs/causes.md"


class Sign(IntEnum):
    UP = 1
    DOWN = -1
    EITHER = 0


class Expected(msgspec.Struct, frozen=True):
    """One quantity and its direction. Of several names the one counts that moved most that way."""

    names: tuple[str, ...]
    sign: Sign
    at_least: float = 0.0
    """a value after the onset below this is no such move"""


class KnownCause(msgspec.Struct, frozen=True):
    """
    All of `required` should have moved, `others` are expected to; a quantity of `still` that moved speaks against it.
    `summary` is for people, `action` the first thing to do, `anchor` the heading on the page of causes.
    """

    name: str
    summary: str
    action: str
    required: tuple[Expected, ...]
    others: tuple[Expected, ...]
    still: tuple[str, ...] = ()

    @property
    def runbook(self) -> str:
        return f"{PAGE}#{self.name.replace(' ', '-')}"


def _up(*names: str, at_least: float = 0.0) -> Expected:
    return Expected(names, Sign.UP, at_least)


def _down(*names: str) -> Expected:
    return Expected(names, Sign.DOWN)


def _either(*names: str) -> Expected:
    return Expected(names, Sign.EITHER)


_PREFILL: Final = _up("prefill_time")
_FIRST_TOKEN: Final = _up("first_token")
_PER_TOKEN: Final = _up("per_token")
_KV_CACHE: Final = _up("kv_cache")
_WAITING: Final = _up("waiting")

CAUSES: Final = (
    KnownCause(
        "device throttled", "devices are throttled by heat or power",
        "see which reason holds the clocks back: heat is fan or cooling, a power cap or brake is the limit or the rack",
        (_up("throttled"),),
        (_down("clock"), _up("temperature", "power"), _PER_TOKEN, _WAITING),
    ),
    KnownCause(
        "kv cache full", "the KV cache is full",
        "lower the engine's limit of running requests or of context length, or add a replica",
        (_up("kv_cache", at_least=0.8),),
        (_up("preemptions"), _WAITING, _down("prefix_hits"), _FIRST_TOKEN, _PER_TOKEN),
    ),
    KnownCause(
        "load", "more requests arrive than before",
        "see who sends them (by service and tenant); add replicas or limit the sender",
        (_up("request_rate"),),
        (_WAITING, _FIRST_TOKEN, _KV_CACHE),
    ),
    KnownCause(
        "longer prompts", "prompts are longer than before",
        "see which service sends them: a changed template, more retrieved context or longer conversations",
        (_up("prompt_tokens"),),
        (_PREFILL, _FIRST_TOKEN, _KV_CACHE), still=("request_rate",),
    ),
    KnownCause(
        "longer answers", "answers are longer than before",
        "look for a changed limit of output tokens, reasoning switched on, or answers that loop",
        (_up("generated_tokens"),),
        (_up("duration"), _KV_CACHE, _up("reasoning_share")),
    ),
    KnownCause(
        "cache cold", "less of the prompts comes from the prefix cache",
        "look for a restart, a changed beginning of the prompts, or requests routed away from their replica",
        (_down("prefix_hits"),),
        (_FIRST_TOKEN, _PREFILL), still=("prompt_tokens",),
    ),
    KnownCause(
        "slow peer", "one device is slower than its peers",
        "find it in the finding of the signal straggler and take it out of the group",
        (_up("straggler", at_least=1.0),),
        (_PER_TOKEN, _down("utilization")),
    ),
    KnownCause(
        "memory or link errors", "a device has memory or link errors",
        "drain the device, run the vendor's diagnostics, then reset or replace it",
        (_up("memory_errors", "remapped", "link_errors", "device_faults"),),
        (_down("throughput"), _PER_TOKEN),
    ),
    KnownCause(
        "model or decoding change", "the model answers differently to the same kind of prompts",
        "compare model, weights, quantisation, chat template and sampling settings with those of the day before",
        (_either("marked", "surprise", "repetition", "compression", "cut_short"),),
        (), still=("prompt_tokens", "language", "tenant", "operation"),
    ),
    KnownCause(
        "traffic mix change", "the mix of requests is another one",
        "see which tenant, language or kind of request grew; if that is meant, propose a new reference",
        (_either("prompt_tokens"), _either("language", "tenant", "operation")),
        (_either("generated_tokens"), _either("marked", "surprise", "repetition", "compression", "cut_short")),
    ),
    KnownCause(
        "slower engine", "the engine takes longer for the same work",
        "look at its host (processor steal, neighbours, power limits) and at what was changed of the engine",
        (_PER_TOKEN,),
        (_FIRST_TOKEN, _PREFILL), still=("request_rate", "prompt_tokens", "generated_tokens", "kv_cache", "throttled"),
    ),
    KnownCause(
        "host", "the host is short of processor, disk or network",
        "look at CPU steal, disk and network of the host",
        (_up("host"),),
        (_FIRST_TOKEN, _down("utilization")),
    ),
)  # fmt: skip
