"""What the checks say of answers: how many were looked at, how many are marked and by what, and numbers."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

SEGMENT: Final = ("k8s.namespace.name", "service.name", "gen_ai.request.model")
"""what answers are told apart by: a table of service, model and check has one cell for each"""
CHECK: Final = "check"
KIND: Final = "kind"
EVALUATION: Final = "gen_ai.evaluation.name"
LABEL: Final = "gen_ai.evaluation.score.label"

_SHARE: Final = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_RATIO: Final = (0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 25.0, 100.0)
_LENGTHS: Final = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0)
_CHARACTERS: Final = (0.0, 10.0, 30.0, 100.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, 12800.0, 51200.0, 204800.0)
_SCORE: Final = (
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 25.0, 50.0, 75.0, 100.0,
)  # fmt: skip
"""for scales from 0 to 1, 1 to 5, 0 to 10 and 0 to 100; none below 0, as OpenMetrics then refuses the sum"""
_NATS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0)

CHECKED: Final = Metric(
    "watchkeeper.output.checked", Kind.COUNTER, "{answer}",
    "Answers that a check had something to say about: what flagged answers are a share of.",
    (*SEGMENT, "tenant", CHECK),
)  # fmt: skip
FLAGGED: Final = Metric(
    "watchkeeper.output.flagged", Kind.COUNTER, "{answer}", "Answers that a check marked, each once.",
    (*SEGMENT, "tenant", CHECK),
)  # fmt: skip
HITS: Final = Metric(
    "watchkeeper.output.hits", Kind.COUNTER, "{hit}",
    "What a check found in answers, by kind; an answer may have many. Kinds are words of the check's own.",
    (*SEGMENT, CHECK, KIND),
)  # fmt: skip
LANGUAGE: Final = Metric(
    "watchkeeper.output.language", Kind.COUNTER, "{answer}", "Answers by the language they begin in (ISO 639).",
    (*SEGMENT, "language"),
)  # fmt: skip
COMPRESSION: Final = Metric(
    "watchkeeper.output.compression", Kind.HISTOGRAM, "1",
    "Bytes of an answer over its bytes compressed by LZ4: 1.1 prose, 2 code, 3 and more JSON, tables and loops.",
    SEGMENT, _RATIO,
)  # fmt: skip
REPETITION: Final = Metric(
    "watchkeeper.output.repetition", Kind.HISTOGRAM, "1",
    "Share of an answer's groups of 4 words (8 characters where no blanks are written) that repeat an earlier one.",
    SEGMENT, _SHARE,
)  # fmt: skip
MARKUP: Final = Metric(
    "watchkeeper.output.markup", Kind.HISTOGRAM, "1", "Share of an answer's bytes that are signs of Markdown or code.",
    SEGMENT, _SHARE,
)  # fmt: skip
CHARACTERS: Final = Metric(
    "watchkeeper.output.length", Kind.HISTOGRAM, "{character}", "Characters of an answer without its reasoning.",
    SEGMENT, _CHARACTERS,
)  # fmt: skip
LENGTH_OF_LIMIT: Final = Metric(
    "watchkeeper.output.length_of_limit", Kind.HISTOGRAM, "1", "Output tokens over the most that were asked for.",
    SEGMENT, _SHARE,
)  # fmt: skip
LENGTH_OF_PROMPT: Final = Metric(
    "watchkeeper.output.length_of_prompt", Kind.HISTOGRAM, "1", "Output tokens over input tokens.", SEGMENT, _LENGTHS,
)  # fmt: skip
REASONING_SHARE: Final = Metric(
    "watchkeeper.output.reasoning", Kind.HISTOGRAM, "1", "Reasoning tokens over output tokens.", SEGMENT, _SHARE,
)  # fmt: skip
REASONING_REPEATED: Final = Metric(
    "watchkeeper.output.reasoning_repeated", Kind.HISTOGRAM, "1",
    "Of 1,000 characters of reasoning, the share of groups of 8 words that was there before: the most of any chunk.",
    SEGMENT, _SHARE,
)  # fmt: skip
SURPRISE: Final = Metric(
    "watchkeeper.output.surprise", Kind.HISTOGRAM, "1",
    "Mean of -log p (nats) of an answer's first tokens, as the engine gives it. High is unusual, not untrue.",
    SEGMENT, _NATS,
)  # fmt: skip
SURPRISE_WORST: Final = Metric(
    "watchkeeper.output.surprise_worst", Kind.HISTOGRAM, "1", "Largest -log p (nats) of an answer's first tokens.",
    SEGMENT, _NATS,
)  # fmt: skip
SURPRISE_SHARE: Final = Metric(
    "watchkeeper.output.surprise_share", Kind.HISTOGRAM, "1",
    "Share of an answer's first tokens whose probability was under 0.05.", SEGMENT, _SHARE,
)  # fmt: skip
GROUNDED: Final = Metric(
    "watchkeeper.output.grounded", Kind.HISTOGRAM, "1",
    "Share of an answer's groups of 3 words that the context given by tools or retrieval has. A proxy.",
    SEGMENT, _SHARE,
)  # fmt: skip
UNGROUNDED_FIGURES: Final = Metric(
    "watchkeeper.output.ungrounded_figures", Kind.HISTOGRAM, "1",
    "Share of an answer's numbers and addresses that neither prompt nor context has.", SEGMENT, _SHARE,
)  # fmt: skip
QUALITY: Final = Metric(
    "watchkeeper.output.quality", Kind.HISTOGRAM, "1",
    "Scores that evaluators and users gave to answers, on each evaluation's own scale, by its name; below 0 as 0.",
    (*SEGMENT, EVALUATION), _SCORE,
)  # fmt: skip
JUDGEMENTS: Final = Metric(
    "watchkeeper.output.judgements", Kind.COUNTER, "{judgement}",
    "What evaluators and users said of answers, by evaluation and label; one with a score alone has no label.",
    (*SEGMENT, EVALUATION, LABEL),
)  # fmt: skip
UNJOINED: Final = Metric(
    "watchkeeper.judgement.unjoined", Kind.COUNTER, "{judgement}",
    "Judgements whose call was not found, or that named none: they count for the service that sent them.", ("reason",),
)  # fmt: skip
FAILURES: Final = Metric(
    "watchkeeper.check.failures", Kind.COUNTER, "{failure}",
    "A check that failed on an answer, by reason; the answer is counted by all others.", (CHECK, "reason"),
)  # fmt: skip
DROPPED: Final = Metric(
    "watchkeeper.check.dropped", Kind.COUNTER, "{answer}",
    "Answers that a check did not judge, by reason: shutdown; of one that takes long, too: full, failed, timed_out, "
    "refused, malformed.",
    (CHECK, "reason"),
)  # fmt: skip
CPU_TIME: Final = Metric(
    "watchkeeper.check.cpu_time", Kind.COUNTER, "s",
    "Processor time that a check took, from one answer in sixteen.", (CHECK,),
)  # fmt: skip

VERDICTS: Final = (CHECKED, FLAGGED, HITS)
"""what becomes of a flag of any check"""
JUDGED: Final = (QUALITY, JUDGEMENTS, UNJOINED)
"""what becomes of a judgement from outside"""
METRICS: Final = (
    *VERDICTS, LANGUAGE, COMPRESSION, REPETITION, MARKUP, CHARACTERS, LENGTH_OF_LIMIT, LENGTH_OF_PROMPT,
    REASONING_SHARE, REASONING_REPEATED, SURPRISE, SURPRISE_WORST, SURPRISE_SHARE, GROUNDED, UNGROUNDED_FIGURES,
    *JUDGED, FAILURES, DROPPED, CPU_TIME,
)  # fmt: skip
