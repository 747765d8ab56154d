"""What a table says: which family of an engine's page becomes which metric of the vocabulary, and how."""

from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

import msgspec

from collector._pages.labels import Fold, Label
from collector._pages.page import Page, Series, Value
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Distribution, Labels


def as_it_is(series: Series) -> Value | None:
    return series.value


def sum_of(series: Series) -> float | None:
    """What a histogram has added up: the total of what it observed."""
    return series.value.sum if isinstance(series.value, Distribution) else None


def scaled(factor: float) -> Callable[[Series], Value | None]:
    """The value in another unit."""

    def scale(series: Series) -> Value:
        value = series.value
        if isinstance(value, Distribution):
            return Distribution(tuple(bound * factor for bound in value.bounds), value.counts, value.sum * factor)
        return value * factor

    return scale


def every(_page: Page, series: Sequence[Series]) -> Iterable[Series]:
    return series


def status_class(status: str) -> str | None:
    """`4xx` of `404` and of `4xx`; a success is no failure."""
    return f"{status[0]}xx" if status[:1] in ("4", "5") else None


class From(msgspec.Struct, frozen=True):
    """
    One family, named as the engine writes it.

    `choose` picks the family's series that count, or makes of several the one that is meant. `value` then reads a
    series where its plain value is not what is wanted: scaling, a histogram's sum, a number that stands in a label;
    None leaves the series out. `constants` are labels that this family implies. `note` says for people what `choose`
    and `value` do.
    """

    name: str
    labels: tuple[Label, ...] = ()
    value: Callable[[Series], Value | None] = as_it_is
    constants: Labels = ()
    choose: Callable[[Page, Sequence[Series]], Iterable[Series]] = every
    note: str = ""


class Row(msgspec.Struct, frozen=True):
    """
    One metric and the families it can come from: the first of `sources` that the page has is used, the others never
    added to it. `hint` says when an engine exposes it, for `watchkeeper doctor`.
    """

    metric: Metric
    sources: tuple[From, ...]
    constants: Labels = ()
    fold: Fold = Fold.SUM
    hint: str = ""


class Question(msgspec.Struct, frozen=True):
    """Something to ask the engine once: a path, and where in its JSON the answer lies (LookupError if it does not)."""

    path: str
    answer: Callable[[object], str]


def at(*path: str | int) -> Callable[[object], str]:
    """Reads the text at this place of an answer; empty where it holds null, or the answer is no object."""

    def read(answer: object) -> str:
        found: Any = answer if isinstance(answer, dict) else None
        for step in path:
            found = None if found is None else found[step]
        return "" if found is None else str(found)

    return read


class Table(msgspec.Struct, frozen=True):
    """
    One engine.

    `name` is its `gen_ai.provider.name`. `matches` sees all family names of a page, `_` for `:`. `switch_on` tells how
    to make the engine expose its page, and `off_mark` is in its answer when it does not. `lacks` names what the engine
    exposes under no flag and where to get it. `port` is where it listens unless told otherwise. `wraps` marks a server
    around engines: the prefix that it puts before the families of the engine it runs, empty when it passes them on as
    they are; None for an engine. `consumed` are paths of a server's whose answer is gone once it was read.
    """

    name: str
    title: str
    matches: Callable[[Set[str]], bool]
    rows: tuple[Row, ...]
    switch_on: str
    off_mark: bytes = b""
    paths: tuple[str, ...] = ("/metrics",)
    model_label: str = "model_name"
    model: tuple[Question, ...] = ()
    """asked when the page's series carry no model"""
    version: tuple[Question, ...] = ()
    lacks: tuple[str, ...] = ()
    port: int = 8000
    on_by_default: bool = True
    wraps: str | None = None
    consumed: tuple[str, ...] = ()


def detect(names: Set[str], tables: Sequence[Table]) -> Table | None:
    """The first table that knows the page; None when no one does."""
    return next((table for table in tables if table.matches(names)), None)


def starts_with(prefix: str, *, never: tuple[str, ...] = ()) -> Callable[[Set[str]], bool]:
    """A page some of whose names start with `prefix` and none with any of `never`."""
    return lambda names: (
        any(name.startswith(prefix) for name in names) and not any(name.startswith(never) for name in names)
    )


PREFIXES: Final = (
    "vllm_", "sglang_", "trtllm_", "nv_trt_llm_", "nv_inference_", "lmdeploy_", "llamacpp_", "tgi_", "dynamo_", "ray_",
)  # fmt: skip
"""how names begin on pages of engines that mark theirs"""
