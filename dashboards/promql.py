"""
PromQL that can only name what exists.

`m` makes a selector from an object of the vocabulary and refuses a label that the metric does not have. `check` reads a
whole expression, typed or not, and says every metric and label in it that nobody emits or records. It knows the words
of PromQL, not its grammar: that is promtool's.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary import METRICS

TARGET: Final = frozenset(("job", "instance"))
"""labels that Prometheus itself puts on every series that it scrapes"""
PARTS: Final = ("bucket", "count", "sum")
"""of a histogram"""

UP: Final = "up"
ALERTS: Final = "ALERTS"
ALERTS_FOR_STATE: Final = "ALERTS_FOR_STATE"
"""value: unix seconds since when"""
PROMETHEUS: Final[Mapping[str, frozenset[str] | None]] = {
    UP: frozenset(),
    ALERTS: None,
    ALERTS_FOR_STATE: None,
}
"""series that Prometheus makes, with their labels beside those of the target; None = any"""


class PromqlError(ValueError):
    """A query names what does not exist."""


class Match(msgspec.Struct, frozen=True):
    """`operator` is =, !=, =~ or !~."""

    operator: str
    value: str


def one_of(*values: str) -> Match:
    """Any of these literal values."""
    return Match("=~", "|".join(map(escape_regex, values)))


def like(pattern: str) -> Match:
    return Match("=~", pattern)


def unlike(pattern: str) -> Match:
    return Match("!~", pattern)


def but(value: str) -> Match:
    return Match("!=", value)


class Series(msgspec.Struct, frozen=True):
    """A selector. `series["5m"]` is a range of it."""

    name: str
    matchers: tuple[tuple[str, Match], ...] = ()

    def __str__(self) -> str:
        inside = ",".join(f'{label}{match.operator}"{_escaped(match.value)}"' for label, match in self.matchers)
        return f"{self.name}{{{inside}}}" if inside else self.name

    def __getitem__(self, window: str) -> str:
        return f"{self}[{window}]"


class Recorded(msgspec.Struct, frozen=True):
    """A series that a recording rule makes, with the labels that it has."""

    name: str
    labels: frozenset[str]


def m(metric: Metric, part: str = "", /, **matchers: str | Match | tuple[Match, ...]) -> Series:
    """
    A metric of the vocabulary, selected by its Prometheus labels.

    >>> from watchkeeper.core.vocabulary import requests
    >>> str(m(requests.SERVER_FIRST_TOKEN, "bucket", le="2.5"))
    'gen_ai_server_time_to_first_token_seconds_bucket{le="2.5"}'

    :param part: bucket, count or sum of a histogram
    :raises PromqlError: the metric has no such part or label
    """
    name = metric.prometheus_name
    if (metric.kind is Kind.HISTOGRAM) is not (part in PARTS):
        kinds = f"one of {', '.join(PARTS)}" if metric.kind is Kind.HISTOGRAM else "no parts"
        raise PromqlError(f"{name} is a {metric.kind} and has {kinds}, not '{part}'")
    known = labels_of(metric, part)
    for label in matchers:
        if label not in known:
            raise PromqlError(f"{name} has no label {label}; it has {', '.join(sorted(known))}")
    return Series(f"{name}_{part}" if part else name, tuple(_pairs(matchers)))


def r(recorded: Recorded, **matchers: str | Match | tuple[Match, ...]) -> Series:
    """
    A recorded series, selected.

    :raises PromqlError: it has no such label
    """
    for label in matchers:
        if label not in recorded.labels:
            raise PromqlError(f"{recorded.name} has no label {label}; it has {', '.join(sorted(recorded.labels))}")
    return Series(recorded.name, tuple(_pairs(matchers)))


def grown(series: Series, by: str, window: str) -> str:
    """
    Events within a window, also of a counter that is born at its first one: that has no increase, so what is new since
    is counted whole. Six hours bridge a gap in scraping.
    """
    new = f"{series} unless max_over_time({series['6h']} offset {window})"
    return f"sum by ({by}) (\n  ({new})\n  or\n  increase({series[window]})\n)"


def edge(bound: float) -> Match:
    """
    A bucket's bound as `le` matches it: `1.0` on a page of watchkeeper, `1` where a server wrote it anew.

    >>> edge(1).value, edge(2.5).value
    ('1(\\\\.0)?', '2\\\\.5')
    """
    text = escape_regex(f"{bound:.10g}")
    return Match("=~", text if "." in text else rf"{text}(\.0)?")


def labels_of(metric: Metric, part: str = "") -> frozenset[str]:
    return frozenset(metric.prometheus_labels) | TARGET | ({"le"} if part == "bucket" else set())


def escape_regex(text: str) -> str:
    """As RE2 and a label's whole value want it."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", text)


def known_series(recorded: Mapping[str, frozenset[str]], added: frozenset[str]) -> dict[str, frozenset[str] | None]:
    """
    Every series name that may stand in a query, with its labels.

    :param recorded: what recording rules make, with all its labels
    :param added: labels that scraping adds: the node's, the cluster's
    """
    known: dict[str, frozenset[str] | None] = {}
    for metric in METRICS:
        for part in PARTS if metric.kind is Kind.HISTOGRAM else ("",):
            name = f"{metric.prometheus_name}_{part}" if part else metric.prometheus_name
            known[name] = labels_of(metric, part) | added
    for name, labels in recorded.items():
        known[name] = labels
    for name, own in PROMETHEUS.items():
        known[name] = None if own is None else own | TARGET | added
    return known


_TOKEN: Final = re.compile(
    r"""(?P<comment>\#[^\n]*)|(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|`[^`]*`)|(?P<range>\[[^\]]*\])"""
    r"""|(?P<number>(?:0x[0-9a-fA-F]+|[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)(?:[a-z]+[0-9a-z]*)?)"""
    r"""|(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)|(?P<sign>=~|!~|[=!<>]=|[-+*/%^<>=(){},@$])|(?P<space>\s+)|(?P<other>.)""",
)
_GROUPING: Final = frozenset(("by", "without", "on", "ignoring", "group_left", "group_right"))
_WORDS: Final = frozenset(("and", "or", "unless", "bool", "offset", "inf", "nan", "start", "end", "atan2"))
_FUNCTIONS: Final = frozenset((
    "abs", "absent", "absent_over_time", "avg", "avg_over_time", "bottomk", "ceil", "changes", "clamp", "clamp_max",
    "clamp_min", "count", "count_over_time", "count_values", "day_of_month", "day_of_week", "day_of_year",
    "days_in_month", "delta", "deriv", "exp", "floor", "group", "histogram_fraction", "histogram_quantile", "hour",
    "idelta", "increase", "irate", "label_join", "label_replace", "last_over_time", "ln", "log10", "log2", "max",
    "max_over_time", "min", "min_over_time", "minute", "month", "predict_linear", "present_over_time", "quantile",
    "quantile_over_time", "rate", "resets", "round", "scalar", "sgn", "sort", "sort_desc", "sqrt", "stddev",
    "stddev_over_time", "stdvar", "stdvar_over_time", "sum", "sum_over_time", "time", "timestamp", "topk", "vector",
    "year",
))  # fmt: skip


def check(expression: str, known: Mapping[str, frozenset[str] | None]) -> list[str]:
    """
    What in an expression does not exist: metrics, labels in braces, labels in `by (...)` that no series of it has.

    >>> check("sum by (colour) (rate(up[5m]))", known_series({}, frozenset()))
    ['no series here has the label colour']
    """
    tokens = [t for t in _tokens(expression) if t[0] not in ("comment", "space")]
    reader = _Reader(tokens, known)
    reader.read()
    return reader.problems()


class _Reader:
    """Walks the tokens of one expression once."""

    def __init__(self, tokens: list[tuple[str, str]], known: Mapping[str, frozenset[str] | None]) -> None:
        self._tokens = tokens
        self._known = known
        self._at = 0
        self._found: list[str] = []
        self._grouped: list[str] = []
        self._labels: set[str] = set()
        self._is_any = False

    def problems(self) -> list[str]:
        missing = () if self._is_any else dict.fromkeys(one for one in self._grouped if one not in self._labels)
        return [*self._found, *(f"no series here has the label {label}" for label in missing)]

    def read(self) -> None:
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            self._at += 1
            if kind == "other":
                self._found.append(f"'{text}' is no PromQL")
            elif text == "{":
                self._found.append("a selector without a metric's name")
                self._matchers(None, "")
            elif kind == "name":
                self._name(text)

    def _next(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _name(self, text: str) -> None:
        word = text.lower()
        if word in _GROUPING:
            self._grouping()
        elif self._next() == "(" and word not in _WORDS:
            if word not in _FUNCTIONS:
                self._found.append(f"{text} is no function of PromQL")
            if word in ("label_replace", "label_join"):
                self._made_label()
        elif word in _FUNCTIONS and self._next().lower() in _GROUPING:
            pass
        elif word not in _WORDS:
            self._series(text)

    def _series(self, name: str) -> None:
        if name not in self._known:
            self._found.append(f"{name} is no series that is emitted or recorded")
            labels: frozenset[str] | None = None
            self._is_any = True
        else:
            labels = self._known[name]
            self._is_any |= labels is None
        self._labels |= labels or frozenset()
        if self._next() == "{":
            self._at += 1
            self._matchers(labels, name)

    def _matchers(self, labels: frozenset[str] | None, name: str) -> None:
        while self._at < len(self._tokens) and (token := self._tokens[self._at])[1] != "}":
            self._at += 1
            if token[0] == "name" and labels is not None and token[1] not in labels:
                self._found.append(f"{name} has no label {token[1]}; it has {', '.join(sorted(labels))}")
        self._at += 1

    def _grouping(self) -> None:
        if self._next() != "(":
            return
        while self._at < len(self._tokens) and (token := self._tokens[self._at])[1] != ")":
            self._at += 1
            if token[0] == "name":
                self._grouped.append(token[1])
        self._at += 1

    def _made_label(self) -> None:
        """The label that label_replace or label_join writes: the first text from here on that names one."""
        depth = 0
        for kind, text in self._tokens[self._at :]:
            depth += (text == "(") - (text == ")")
            if kind == "text" and depth == 1:
                self._labels.add(text[1:-1])
                return


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    for found in _TOKEN.finditer(expression):
        yield found.lastgroup or "other", found.group()


def _pairs(matchers: Mapping[str, str | Match | tuple[Match, ...]]) -> Iterator[tuple[str, Match]]:
    for label, value in matchers.items():
        many = value if isinstance(value, tuple) else (value,)
        for one in many:
            yield label, Match("=", one) if isinstance(one, str) else one


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
