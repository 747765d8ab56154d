"""
Calls whose records used to bring tokens, a finish reason, text or the model's name, and no longer do.

What a link brings of a model's calls is learned once, while the link is new (`_links.Usual`: 200 calls and half an
hour), and then stays. Parts that at least `usual_ratio` of those calls had are watched: when fewer than `kept_ratio` of
that share have them within 5 minutes (longer, up to an hour, until they are 20 calls), for a minute, it warns, until
the part is back for 5 minutes. Only calls that ended well count: one that failed has no answer to miss.

A plain rule and no `rate`: an instrumentation that changes its mind about a part does so for all of its calls, and the
mixture of callers behind one name moves such shares by more than any band that would still be a promise. At 80 % usual
and 40 % kept, 20 independent calls fall below by chance once in 10,000 windows.

Catches: text capture switched off, token usage that a new SDK or proxy leaves out, a gateway that hides the model's
name, after 2 to 6 minutes. Misses: a part that was never there, a loss among a minority of calls (less than half of
them), calls of a model that is new itself. Leave out in `parts` what may come and go on purpose. Keeps half a kB for
each part of each model of a link.
"""

from typing import Annotated, Final, Literal

import msgspec

from detectors.signals._levels import Level
from detectors.signals._links import Link, Newest, Recent, Usual, Ways, link_of
from detectors.signals._spans import Increments
from watchkeeper.core.interfaces import Plugin
from watchkeeper.core.labels import OTHER
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Assessment, Batch, State, Verdict
from watchkeeper.core.vocabulary import links

Ratio = Annotated[float, msgspec.Meta(gt=0, le=1)]
Part = Literal["input_tokens", "output_tokens", "finish_reason", "text", "model"]

_MODEL: Final = "model"
_RAISE_SECONDS: Final = 60.0
_CLEAR_SECONDS: Final = 300.0
_WORDS: Final = {
    "input_tokens": "input tokens", "output_tokens": "output tokens", "finish_reason": "a finish reason",
    "text": "text", "model": "the model's name",
}  # fmt: skip
_ACTIONS: Final = {
    "text": "ask whether recording prompts and answers was switched off on purpose (then leave `text` out of "
    "signals.completeness.parts); until it is back, checks of answers are blind",
    "model": "look for a proxy or a new SDK before the model that sends no model name; its calls count under none",
}
_USAGE: Final = (
    "compare the versions of SDK and instrumentation with those before (signal `schema`); for streamed calls look "
    "whether usage is asked for (stream_options.include_usage); until then tokens and cost are too low"
)


class CompletenessConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parts of calls that are missing where they used to be."""

    enabled: bool = True
    """False: what records bring is not judged"""
    interval_seconds: Annotated[float, msgspec.Meta(ge=1, le=60)] = 10.0
    """how often it is judged"""
    parts: tuple[Part, ...] = ("input_tokens", "output_tokens", "finish_reason", "text", "model")
    """what is watched"""
    usual_ratio: Ratio = 0.8
    """a part is watched where at least this share of a link's first calls had it"""
    kept_ratio: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.5
    """warn when less than this share of what was usual is left"""


class _Part:
    __slots__ = ("lost", "now", "recent", "usual")

    def __init__(self, threshold: float, now: float) -> None:
        self.usual = Usual(now)
        self.recent = Recent()
        self.lost = Level(threshold, _RAISE_SECONDS, _CLEAR_SECONDS)
        self.now: tuple[float, float, float] | None = None
        """share, calls, seconds"""

    def add(self, hits: float, calls: float, at: float) -> None:
        self.usual.add(hits, calls, at)
        self.recent.add((calls, hits), at)


_Subject = tuple[Link, str | None]
"""a link and a model; None: calls without the model's name, and the share of them"""


class Completeness:
    def __init__(self, config: CompletenessConfig, ledger: Ledger) -> None:
        self._config = config
        self._newest = Newest()
        self._increments = Increments()
        self._ways: Ways[_Subject, dict[str, _Part]] = Ways(lambda _now: {})

    def update(self, batch: Batch) -> None:
        self._newest.see(batch)
        self._increments.forget(batch)
        for metric, labels in batch.gone:
            if metric is links.CALLS and (link := link_of(own := dict(labels))) is not None:
                self._ways.hide((link, own.get(links.MODEL)))
                if not any(known == link and model for (known, model), _ in self._ways.present(batch.at)):
                    self._ways.hide((link, None))

    def _take(self, now: float) -> None:
        calls: dict[tuple[Link, str], float] = {}
        having: dict[tuple[Link, str], dict[str, float]] = {}
        for point in self._newest.take():
            own = dict(point.labels)
            link, model = link_of(own), own.get(links.MODEL, "")
            added = self._increments.of(point)
            if link is None or model == OTHER:
                continue
            if point.metric is links.CALLS:
                calls[(link, model)] = added
            else:
                having.setdefault((link, model), {})[own.get(links.PART, "")] = added
        for link, model in calls.keys() | having.keys():
            brought = calls.get((link, model), 0.0)
            for part, hits in having.get((link, model), {}).items():
                self._add((link, model or None), part, hits, brought, now)
            if brought:
                self._add((link, None), _MODEL, brought if model else 0.0, brought, now)

    def _add(self, subject: _Subject, part: str, hits: float, calls: float, at: float) -> None:
        if part in self._config.parts and (hits or calls):
            parts = self._ways.see(subject, at)
            if part not in parts:
                parts[part] = _Part(1 - self._config.kept_ratio, at)
            parts[part].add(hits, calls, at)

    def assess(self, now: float) -> list[Assessment]:
        self._take(now)
        return [self._judge(link, model, parts, now) for (link, model), parts in self._ways.present(now)]

    def _judge(self, link: Link, model: str | None, parts: dict[str, _Part], now: float) -> Assessment:
        """The part that is missed most speaks; the others are evidence."""
        threshold = 1 - self._config.kept_ratio
        subject = (
            (
                *link.subject,
                ((links.MODEL, model)),
            )
            if model
            else link.subject
        )
        lost = {name: self._lost(part, now) for name, part in parts.items()}
        known = {name: score for name, score in lost.items() if score is not None}
        missing = [name for name in known if parts[name].lost.is_on]
        if not known:
            return Assessment(subject=subject, verdict=Verdict(State.WARMING, 0.0, threshold))
        worst = max(missing or known, key=lambda name: known[name])
        verdict = Verdict(State.WARN if missing else State.OK, known[worst], threshold)
        if not missing:
            return Assessment(subject=subject, verdict=verdict)
        of = f"calls of {model}" if model else "calls"
        return Assessment(
            subject=subject,
            verdict=verdict,
            summary=f"{of} from {link} no longer bring {_WORDS[worst]}: {_now(parts[worst])}",
            action=_ACTIONS.get(worst, _USAGE),
            evidence=tuple(f"{_WORDS[name]}: {_now(parts[name])}" for name in missing),
            since=min(parts[name].lost.since for name in missing),
        )

    def _lost(self, part: _Part, now: float) -> float | None:
        """What share of the usual is gone; None: not known, or not watched."""
        usual = part.usual.share
        if usual is None or usual < self._config.usual_ratio:
            return None
        part.now = part.recent.share(now) or part.now
        if part.now is None:
            return 0.0
        lost = max(0.0, 1 - part.now[0] / usual)
        part.lost.update(lost, now)
        return lost


def _now(part: _Part) -> str:
    share, calls, seconds = part.now or (0.0, 0.0, 0.0)
    return f"{share:.0%} of the last {calls:.0f} calls ({seconds / 60:.0f} minutes), at first {part.usual.share:.0%}"


PLUGIN: Final = Plugin(
    name="completeness",
    summary="Tokens, finish reason, text or model missing from records that used to bring them.",
    config=CompletenessConfig,
    build=Completeness,
    reads=(links.CALLS, links.HAVING),
    roles=("run", "sidecar", "gateway", "detector"),
    interval_seconds=lambda config: config.interval_seconds,
)
