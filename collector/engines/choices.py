"""Which series of a family count where some say the same again, or say something else under the same name."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from collector._pages.page import Page, Series
from watchkeeper.core.records import Distribution, Labels

Choice = Callable[[Page, Sequence[Series]], Iterable[Series]]


def having(label: str, *values: str) -> Choice:
    """Series whose `label` has one of `values`, or that do not have it at all."""
    return lambda _page, series: [one for one in series if dict(one.labels).get(label, values[0]) in values]


def lacking_if_others(label: str, value: str) -> Choice:
    """Leave out series with this value wherever others, alike in all else, stand beside them."""
    return lambda _page, series: _beside(series, label, lambda theirs: theirs != value)


def alone_if_there(label: str, value: str) -> Choice:
    """Of series alike in all else only the one with this value, where there is one."""
    return lambda _page, series: _beside(series, label, lambda theirs: theirs == value)


def in_turn(*choices: Choice) -> Choice:
    """Each from what the one before left."""

    def choose(page: Page, series: Sequence[Series]) -> Iterable[Series]:
        for choice in choices:
            series = tuple(choice(page, series))
        return series

    return choose


def one_per_data_rank(_page: Page, series: Sequence[Series]) -> Iterator[Series]:
    """
    One series per `dp_rank`, of series whose other ranks (tp_rank, pp_rank, moe_ep_rank) all tell the same requests.

    It loses those labels: a total goes on when another rank is taken. The first pipeline stage is asked where it is
    told apart. Of numbers the largest counts, as one rank may lag; of histograms that of the lowest rank, since two
    that differ a little would look like restarts.
    """
    for labels, alike in _grouped(series, _is_repeated_rank).items():
        first_stage = [one for one in alike if dict(one.labels).get("pp_rank", "0") == "0"] or alike
        if isinstance(first_stage[0].value, Distribution):
            chosen = min(first_stage, key=_ranks)
        else:
            chosen = max(first_stage, key=_number)
        yield Series(labels, chosen.value, chosen.created)


def _is_repeated_rank(label: str) -> bool:
    return label.endswith("_rank") and label != "dp_rank"


def _beside(series: Sequence[Series], label: str, wanted: Callable[[str | None], bool]) -> Iterator[Series]:
    for alike in _grouped(series, label.__eq__).values():
        preferred = [one for one in alike if wanted(dict(one.labels).get(label))]
        yield from preferred or alike


def _grouped(series: Sequence[Series], apart_from: Callable[[str], bool]) -> dict[Labels, list[Series]]:
    groups: dict[Labels, list[Series]] = {}
    for one in series:
        rest = tuple(pair for pair in one.labels if not apart_from(pair[0]))
        groups.setdefault(rest, []).append(one)
    return groups


def _ranks(series: Series) -> tuple[tuple[int, str], ...]:
    """Ranks in the order of numbers, not of words."""
    return tuple((len(value), value) for label, value in series.labels if _is_repeated_rank(label))


def _number(series: Series) -> float:
    return series.value if isinstance(series.value, float) else 0.0
