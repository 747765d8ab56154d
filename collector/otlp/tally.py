"""What became of the items of one request."""

from collections import Counter

from collector.otlp import facets, refusals
from collector.otlp.one_call import Call
from collector.otlp.senders import Sender
from watchkeeper.core.records import Completion, Gap, Judgement, Sample

_COMPLETION_BYTES = 1024
_JUDGEMENT_BYTES = 512
SAMPLE_BYTES = 512


class Tally:
    """`rejected`, `ignored` and `invalid` by reason or field."""

    __slots__ = (
        "completions", "first_fault", "gaps", "held", "ignored", "invalid", "judgements", "rejected", "repeated",
        "samples",
    )  # fmt: skip

    def __init__(self) -> None:
        self.completions: list[Completion] = []
        self.judgements: list[Judgement] = []
        self.samples: list[Sample] = []
        self.gaps: list[Gap] = []
        self.held: list[tuple[Sender, Sample]] = []
        """samples that wait for their sender to be known"""
        self.rejected: Counter[str] = Counter()
        self.first_fault = ""
        """which field of a record could not be decoded, for its sender; empty: none, or it is not known"""
        self.ignored: Counter[str] = Counter()
        self.invalid: Counter[str] = Counter()
        self.repeated: Counter[tuple[str, str]] = Counter()
        """records that were here before, by namespace and service"""

    def reject_undecodable(self, fault: str) -> None:
        """:param fault: see `first_fault`"""
        self.rejected[refusals.UNDECODABLE] += 1
        self.first_fault = self.first_fault or fault

    def repeat(self, seen: Completion) -> None:
        """A record that was here before."""
        self.ignored[refusals.DUPLICATE] += 1
        self.repeated[(seen.namespace, seen.service)] += 1

    def add(self, call: Call, seen: Completion, reason: str) -> None:
        """What this observation adds to a call that was counted before; ignored for `reason` when it adds nothing."""
        bits = facets.of(seen) & ~call.given
        if bits:
            pace = call.add(seen, bits)
            self.completions.append(facets.only(seen, bits, call.request_model, call.response_model, pace))
        else:
            self.ignored[reason] += 1

    @property
    def size_bytes(self) -> int:
        """About what the records take in memory."""
        text = sum(len(call.text.prompt) + len(call.text.answer) for call in self.completions if call.text)
        judgements = _JUDGEMENT_BYTES * len(self.judgements)
        return _COMPLETION_BYTES * len(self.completions) + SAMPLE_BYTES * len(self.samples) + judgements + text
