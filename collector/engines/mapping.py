"""A page and its table to numbers in our vocabulary. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from math import inf, isfinite
from typing import Final

import msgspec

from collector._pages.labels import Fold
from collector._pages.page import Page, Series, Value
from collector.engines.deltas import Key, Total
from collector.engines.table import From, Row, Table
from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.records import Distribution, Labels, Sample, SeriesKey, Vantage
from watchkeeper.core.vocabulary.requests import VANTAGE

MODEL: Final = "gen_ai.request.model"
_WHOLE: Final = 1.01
"""no share is larger, rounding included: what is comes in percent, and would pass for a full cache"""


class Observation(msgspec.Struct, frozen=True):
    """
    What a page says, in our words.

    `totals` are running totals by where they came from, `becomes` tells which of our series each adds to. `mapped` and
    `unmapped` count label sets of the page (a histogram is one), `invalid` numbers that cannot be right, by field.
    """

    gauges: Mapping[SeriesKey, float]
    totals: Mapping[Key, Total]
    becomes: Mapping[Key, SeriesKey]
    mapped: int
    unmapped: int
    invalid: Mapping[str, int]


def observe(page: Page, table: Table, identity: Mapping[str, str]) -> Observation:
    """
    :param identity: labels that hold for the whole engine; its model is used only where the page names none
    """
    model = _only_model(page, table) or identity.get(MODEL, "")
    shared = {**identity, "gen_ai.provider.name": table.name, MODEL: model, VANTAGE: Vantage.PAGE.value}
    readings: defaultdict[SeriesKey, list[float]] = defaultdict(list)
    folds: dict[SeriesKey, Fold] = {}
    totals: dict[Key, Total] = {}
    becomes: dict[Key, SeriesKey] = {}
    invalid: Counter[str] = Counter(page.invalid)
    for row in table.rows:
        for name, source, series in _used(page, row):
            labels = _labels(row, source, series, shared, table.model_label)
            value = source.value(series) if labels is not None else None
            if labels is None or value is None:
                continue
            if not _is_sane(value, row.metric):
                invalid[row.metric.name] += 1
            elif row.metric.kind is Kind.GAUGE and not isinstance(value, Distribution):
                readings[(row.metric, labels)].append(value)
                folds[(row.metric, labels)] = row.fold
            else:
                key = Key(row.metric.name, name, series.labels)
                totals[key] = Total(value, page.started if series.created is None else series.created)
                becomes[key] = (row.metric, labels)
    mapped = sum(len(page.families[name].series) for name in claimed(page, table))
    return Observation(
        {key: _fold(values, folds[key]) for key, values in readings.items()},
        totals,
        becomes,
        mapped,
        sum(len(family.series) for family in page.families.values()) - mapped,
        invalid,
    )


def samples(observation: Observation, increments: Mapping[Key, Value], now: float) -> tuple[Sample, ...]:
    """Gauges as read, and the increments of all ranks added up by our series."""
    counts: dict[SeriesKey, float] = {}
    distributions: dict[tuple[SeriesKey, tuple[float, ...]], Distribution] = {}
    for key, increment in increments.items():
        ours = observation.becomes[key]
        if isinstance(increment, Distribution):
            with_bounds = (ours, increment.bounds)  # histograms with other bounds are never added by bucket
            distributions[with_bounds] = _add(distributions.get(with_bounds), increment)
        else:
            counts[ours] = counts.get(ours, 0.0) + increment
    return (
        *(Sample(metric, value, now, labels) for (metric, labels), value in observation.gauges.items()),
        *(Sample(metric, value, now, labels) for (metric, labels), value in counts.items()),
        *(Sample(metric, many, now, labels) for ((metric, labels), _), many in distributions.items()),
    )


def labelled(metric: Metric, values: Mapping[str, str]) -> Labels:
    """The labels that `metric` has, in its order; those without a value are left out."""
    return tuple((name, values[name]) for name in metric.labels if values.get(name))


def names_model(page: Page, table: Table) -> bool:
    """Whether the page itself tells which model is served."""
    return any(
        dict(series.labels).get(table.model_label)
        for name in claimed(page, table)
        for series in page.families[name].series
    )


def absent(page: Page, table: Table) -> tuple[Row, ...]:
    """Rows for which the page has no family."""
    return tuple(row for row in table.rows if _choose(page, row) is None)


def present(page: Page, table: Table) -> tuple[tuple[Row, From], ...]:
    """Rows for which the page has a family, with the source that is used."""
    chosen = ((row, _choose(page, row)) for row in table.rows)
    return tuple((row, hit[1]) for row, hit in chosen if hit is not None)


def _choose(page: Page, row: Row) -> tuple[str, From] | None:
    for source in row.sources:
        found = page.find(source.name)
        if found is not None:
            return found[0], source
    return None


def _used(page: Page, row: Row) -> list[tuple[str, From, Series]]:
    chosen = _choose(page, row)
    if chosen is None:
        return []
    name, source = chosen
    return [(name, source, series) for series in source.choose(page, page.families[name].series)]


def claimed(page: Page, table: Table) -> frozenset[str]:
    """Families that some row knows, also as the older name that is passed over for a newer one."""
    found = (page.find(source.name) for row in table.rows for source in row.sources)
    return frozenset(hit[0] for hit in found if hit is not None)


def _only_model(page: Page, table: Table) -> str:
    """The one model that the page names, for its series without a model; empty when it names several or none."""
    models = {
        value
        for name in claimed(page, table)
        for series in page.families[name].series
        for label, value in series.labels
        if label == table.model_label
    }
    return models.pop() if len(models) == 1 else ""


def _labels(row: Row, source: From, series: Series, shared: Mapping[str, str], model_label: str) -> Labels | None:
    """None when a translation leaves the series out."""
    theirs = dict(series.labels)
    values = {**shared, **dict(row.constants), **dict(source.constants)}
    if theirs.get(model_label):
        values[MODEL] = theirs[model_label]
    for label in source.labels:
        if label.theirs in theirs:
            translated = label.translate(theirs[label.theirs])
            if translated is None:
                return None
            values[label.ours] = translated
    return labelled(row.metric, values)


def _is_sane(value: Value, metric: Metric) -> bool:
    if isinstance(value, Distribution):
        return metric.kind is Kind.HISTOGRAM and isfinite(value.sum) and value.sum >= 0
    most = _WHOLE if metric.kind is Kind.GAUGE and metric.unit == "1" else inf
    return metric.kind is not Kind.HISTOGRAM and isfinite(value) and 0 <= value <= most


def _fold(values: list[float], fold: Fold) -> float:
    if fold is Fold.MAX:
        return max(values)
    return sum(values) / len(values) if fold is Fold.MEAN else sum(values)


def _add(held: Distribution | None, more: Distribution) -> Distribution:
    if held is None:
        return more
    counts = tuple(map(float.__add__, held.counts, more.counts))
    return Distribution(more.bounds, counts, held.sum + more.sum)
