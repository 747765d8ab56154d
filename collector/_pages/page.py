"""
A metrics page, text format 0.0.4, to typed families. Strict on the whole page, tolerant of one odd line.

prometheus_client's own parser is not used: one bad line costs it the whole page, it renames counters, and it takes
about five times as long. https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property, lru_cache
from math import inf, isfinite, isnan
from typing import Final

import msgspec

from collector._pages.fault import Fault, Refused
from watchkeeper.core.records import Distribution, Labels

MAX_BOUNDS: Final = 256
"""a histogram with more (TGI has one of 1,024) is made coarser by joining neighbours"""

Value = float | Distribution


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"
    UNTYPED = "untyped"


class Series(msgspec.Struct, frozen=True):
    """
    One label set of a family. `labels` are sorted by name and hold no `le`; a summary is a Distribution without bounds.

    `created` is the unix time at which the engine began to count, None when it does not tell.
    """

    labels: Labels
    value: Value
    created: float | None = None


class Family(msgspec.Struct, frozen=True):
    type: Type
    series: tuple[Series, ...]


class Page(msgspec.Struct, frozen=True):
    """
    Families by name, with `_` for `:` and counters without `_total`, unless that is another family's name.

    `started` is the unix time at which the process began (process_start_time_seconds). `invalid` counts what was left
    out, by kind: line, series.
    """

    families: Mapping[str, Family]
    started: float | None
    invalid: Mapping[str, int]

    def find(self, name: str) -> tuple[str, Family] | None:
        """
        A family by its name as the engine writes it, colon or not, `_total` or not.

        An empty one counts as found: the engine knows it and has nothing to tell yet.
        """
        plain = plain_name(name)
        for spelling in (plain, plain.removesuffix("_total"), f"{plain}_total"):
            family = self.families.get(spelling)
            if family is not None:
                return spelling, family
        return None


def plain_name(name: str) -> str:
    return name.replace(":", "_")


# No possessive quantifiers: Python before 3.11.4 gets them wrong. What follows each repetition cannot be part of it, so
# that a line which does not match is given up in linear time.
_NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
_QUOTED = r'"[^"\\]*(?:\\.[^"\\]*)*"'
_TYPE_LINE = re.compile(rf"^#[ \t]*TYPE[ \t]+({_NAME})[ \t]+([a-z]+)[ \t\r]*$", re.MULTILINE)
_LINE = re.compile(
    rf"({_NAME})(?![a-zA-Z0-9_:])[ \t]*"
    rf'(?:\{{([^"}}]*(?:{_QUOTED}[^"}}]*)*)\}}[ \t]*)?'
    r"([^\s_#{]+)(?!#)(?:[ \t]+[-+0-9.eE]+)?[ \t\r]*(?:#.*)?"
)
_BUCKET_LINE = re.compile(rf"^({_NAME})(?<=_bucket)[ \t]*\{{", re.MULTILINE)
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"([^"\\]*(?:\\.[^"\\]*)*)"[ \t]*(?:,[ \t]*|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED: Final = {"n": "\n", "\\": "\\", '"': '"'}


def parse(body: bytes, max_series: int) -> Page:
    """
    :param max_series: sample lines accepted at most
    :raises Refused: it is no metrics page, only a part of one, or larger than allowed
    """
    text = _text(body)
    building = _Building(text, max_series)
    last = ""
    lines = 0
    for line in text.split("\n"):
        if not line or line.isspace():
            continue
        last = line
        if line[0] == "#":
            continue
        lines += 1
        if lines > max_series:
            raise _too_large(max_series)
        match = _LINE.fullmatch(line)
        if match is None or not building.add(*match.groups()):
            building.invalid_lines += 1
    if building.invalid_lines * 2 > lines or (not lines and not building.types):
        raise Refused(Fault.MALFORMED, "what it answers is not a metrics page; is this the engine's metrics port?")
    if last.startswith("# HELP"):
        raise Refused(Fault.TRUNCATED, "the page breaks off after a HELP line; half a page is not used")
    return building.page()


def _too_large(max_series: int) -> Refused:
    return Refused(Fault.TOO_LARGE, f"the page has more than {max_series} samples; raise `max_series` to read it")


def _text(body: bytes) -> str:
    """The page as text, or a refusal that says what it is instead."""
    start = body[:64].lstrip()
    if start.startswith(b'"'):  # some builds of llama.cpp answer the page as one JSON string
        try:
            body = msgspec.json.decode(body, type=str).encode("utf-8", "replace") + b"\n"
        except msgspec.DecodeError:
            raise Refused(
                Fault.TRUNCATED, "the page is a JSON string that breaks off; half a page is not used"
            ) from None
        start = body[:64].lstrip()
    if not start:
        raise Refused(Fault.MALFORMED, "the page is empty")
    if start.startswith(b"<"):
        raise Refused(Fault.HTML, "it answers HTML; is this the engine's metrics port and path?")
    if start.startswith((b"{", b"[")):
        raise Refused(Fault.JSON, "it answers JSON, not a metrics page; set `path` to where the Prometheus page is")
    text = body.decode("utf-8", "replace")
    if text.endswith("\n"):
        return text
    whole, _, last = text.rpartition("\n")
    if _LINE.fullmatch(last) is None:
        raise Refused(Fault.TRUNCATED, "the page breaks off in the middle of a line; half a page is not used")
    return f"{whole}\n"  # some servers leave out the last newline; as digits may be missing, that line is left out


class _Buckets:
    """A histogram or summary being put together from its lines."""

    __slots__ = ("bounds", "count", "sum")

    def __init__(self) -> None:
        self.bounds: dict[float, float] = {}
        self.count: float | None = None
        self.sum: float | None = None

    @property
    def has_ended(self) -> bool:
        """Whether the page can end here: sum and count have been seen."""
        return self.sum is not None and (self.count is not None or inf in self.bounds)

    def whole(self, type_: Type) -> Distribution | None:
        """None when a part is missing or the parts contradict each other."""
        if self.sum is None or isnan(self.sum):
            return None
        if type_ is Type.SUMMARY:
            return None if self.count is None else Distribution((), (self.count,), self.sum)
        pairs = sorted(self.bounds.items())
        if not pairs:
            return None
        if pairs[-1][0] != inf:
            if self.count is None:
                return None
            pairs.append((inf, self.count))
        step = -(-(len(pairs) - 1) // MAX_BOUNDS)
        if step > 1:
            pairs = [*pairs[step - 1 : -1 : step], pairs[-1]]
        cumulative = [count for _, count in pairs]
        counts = tuple(high - low for low, high in zip([0.0, *cumulative], cumulative, strict=False))
        if not all(count >= 0 and isfinite(count) for count in counts):
            return None
        return Distribution(tuple(bound for bound, _ in pairs[:-1]), counts, self.sum)


class _FamilyBuilding:
    __slots__ = ("created", "grouped", "plain", "type")

    def __init__(self, type_: Type) -> None:
        self.type = type_
        self.plain: dict[Labels, float] = {}
        self.grouped: dict[Labels, _Buckets] = {}
        self.created: dict[Labels, float] = {}


_GROUPED: Final = (Type.HISTOGRAM, Type.SUMMARY)
_ROLES: Final = (
    ("_bucket", (Type.HISTOGRAM,)),
    ("_count", _GROUPED),
    ("_sum", _GROUPED),
    ("_created", (Type.COUNTER, *_GROUPED)),
    ("_total", (Type.COUNTER,)),
)


class _Building:
    """A page being put together. TYPE lines were read first, so that a sample's role depends on no order."""

    def __init__(self, text: str, max_series: int) -> None:
        self.invalid_lines = 0
        self.types = {plain_name(name): _type(word) for name, word in _TYPE_LINE.findall(text)}
        if len(self.types) > max_series:
            raise _too_large(max_series)
        self._text = text
        self._families: dict[str, _FamilyBuilding] = {}
        self._roles: dict[str, tuple[_FamilyBuilding, str]] = {}
        self._last: _Buckets | None = None
        for name, type_ in self.types.items():
            if not self._is_created(name):
                self._family(name, type_)

    def add(self, name: str, label_text: str | None, number: str) -> bool:
        """False when the line makes no sense."""
        try:
            value = float(number)
            labels, without_bound, bound = _labels(label_text) if label_text else ((), (), None)
        except ValueError:
            return False
        role = self._roles.get(name)
        if role is None:
            role = self._roles[name] = self._role(name)
        family, part = role
        self._last = None
        if part == "value":
            if family.type in _GROUPED:  # a summary's quantiles, of no use
                return family.type is Type.SUMMARY
            if labels in family.plain:
                return False
            family.plain[labels] = value
            return True
        if part == "created":
            family.created[labels] = value
            return True
        return self._add_part(family, part, without_bound, bound, value)

    def _add_part(self, family: _FamilyBuilding, part: str, labels: Labels, bound: float | None, value: float) -> bool:
        buckets = family.grouped.get(labels)
        if buckets is None:
            buckets = family.grouped[labels] = _Buckets()
        self._last = buckets
        if part == "sum":
            buckets.sum = value
        elif part == "count":
            buckets.count = value
        elif bound is None or isnan(bound):
            return False
        else:
            buckets.bounds[bound] = value
        return True

    def page(self) -> Page:
        """:raises Refused: the last histogram lacks parts, so the page breaks off there"""
        if self._last is not None and not self._last.has_ended:
            raise Refused(Fault.TRUNCATED, "the page breaks off in the middle of a histogram; half a page is not used")
        broken = 0
        families = {}
        for name, family in self._families.items():
            series = [Series(labels, value, family.created.get(labels)) for labels, value in family.plain.items()]
            for labels, buckets in family.grouped.items():
                whole = buckets.whole(family.type)
                if whole is None:
                    broken += 1
                else:
                    series.append(Series(labels, whole, family.created.get(labels)))
            families[name] = Family(family.type, tuple(series))
        invalid = {kind: count for kind, count in (("line", self.invalid_lines), ("series", broken)) if count}
        return Page(families, _started(families), invalid)

    def _role(self, name: str) -> tuple[_FamilyBuilding, str]:
        """Which family a sample belongs to, and as what. The declared TYPE decides, the suffix only where none is."""
        plain = plain_name(name)
        declared = self.types.get(plain)
        if declared is not None and not self._is_created(plain):
            return self._family(plain, declared), "value"
        for suffix, types in _ROLES:
            if plain.endswith(suffix):
                base = plain.removesuffix(suffix)
                for spelling in (base, f"{base}_total"):
                    if self.types.get(spelling) in types:
                        part = "value" if suffix == "_total" else suffix[1:]
                        return self._family(spelling, self.types[spelling]), part
        return self._guess(plain)

    def _guess(self, plain: str) -> tuple[_FamilyBuilding, str]:
        if plain.endswith("_total"):
            return self._family(plain, Type.COUNTER), "value"
        for suffix in ("_bucket", "_sum", "_count"):
            if plain.endswith(suffix) and plain.removesuffix(suffix) in self._with_buckets:
                return self._family(plain.removesuffix(suffix), Type.HISTOGRAM), suffix[1:]
        return self._family(plain, Type.UNTYPED), "value"

    @cached_property
    def _with_buckets(self) -> frozenset[str]:
        """Names on the page that have buckets, looked up only where TYPE lines are missing."""
        return frozenset(plain_name(name).removesuffix("_bucket") for name in _BUCKET_LINE.findall(self._text))

    def _family(self, plain: str, type_: Type) -> _FamilyBuilding:
        base = plain.removesuffix("_total")
        # Ray shows each counter a second time as a gauge, without `_total`: they stay two families
        key = base if type_ is Type.COUNTER and self.types.get(base, type_) is type_ else plain
        return self._families.setdefault(key, _FamilyBuilding(type_))

    def _is_created(self, plain: str) -> bool:
        """prometheus_client writes a family's start as a gauge of its own, `<family>_created`."""
        base = plain.removesuffix("_created")
        types = (Type.COUNTER, *_GROUPED)
        return base != plain and (self.types.get(base) in types or self.types.get(f"{base}_total") in types)


def _type(word: str) -> Type:
    try:
        return Type(word)
    except ValueError:
        return Type.UNTYPED


@lru_cache(maxsize=8192)
def _labels(text: str) -> tuple[Labels, Labels, float | None]:
    """
    All labels, those beside `le`, and `le` as a number. Remembered, because a page repeats from scrape to scrape.

    :raises ValueError: the text is no list of labels
    """
    position = 0
    pairs: dict[str, str] = {}
    while position < len(text):
        match = _LABEL.match(text, position)
        if match is None:
            raise ValueError("not a label")
        name, value = match.groups()
        if name in pairs:
            raise ValueError("a label twice")
        pairs[name] = _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[0]), value) if "\\" in value else value
        position = match.end()
    bound = _bound(pairs.get("le"))
    ordered = sorted(pairs.items())
    return tuple(ordered), tuple(pair for pair in ordered if pair[0] != "le"), bound


def _bound(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _started(families: Mapping[str, Family]) -> float | None:
    family = families.get("process_start_time_seconds")
    values = [series.value for series in family.series if isinstance(series.value, float)] if family else []
    return values[0] if len(values) == 1 and isfinite(values[0]) and values[0] > 0 else None
