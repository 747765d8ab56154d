"""
An estate's series, and what the rules make of them, as blocks of a Prometheus's data folder.

Prometheus does not evaluate rules over what is already past. So each rule is asked here for all times at once, which is
what a server does when it evaluates it at each of them; its answers become series that the next rules read.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from dashboards.alert import Alert, Recording, Rule
from dashboards.alerts import catalogue
from dashboards.durations import duration, seconds
from dashboards.estate import Book, Clock, openmetrics
from dashboards.estate.series import Numbers, Series, written
from dashboards.promql import ALERTS, ALERTS_FOR_STATE
from dashboards.rule_files import held, labels_of
from dashboards.values import Values
from watchkeeper.agent.simulate.prometheus import Prometheus, write_blocks

_RECORDED: Final = re.compile(r"\b(wk:[a-z0-9_:]+|ALERTS\w*)")
Ask = Callable[[str, float, float, float], list[dict[str, Any]]]
"""query, start, end, step -> rows of a range query"""


class Fired(msgspec.Struct, frozen=True):
    """One alert that fired, with all its labels, and when: from and to (unix seconds), once or several times."""

    name: str
    severity: str
    labels: tuple[tuple[str, str], ...]
    spans: tuple[tuple[float, float], ...]

    @property
    def at(self) -> float:
        return self.spans[0][0]


class _Rule(msgspec.Struct, frozen=True):
    """`makes` and `needs` are names of series; `run` is what it makes of a server's answers."""

    makes: tuple[str, ...]
    needs: frozenset[str]
    run: Callable[[Ask, Clock], tuple[list[Series], list[Fired]]]


def fill(folder: Path, book: Book, values: Values) -> tuple[Fired, ...]:
    """
    Write the estate and all that the rules make of it below `folder`/data.

    :return: the alerts that fired, by time
    :raises ConfigError: Prometheus or promtool is not installed, or refuses
    """
    folder.mkdir(exist_ok=True)
    data = folder / "data"
    _write(folder / "estate.om", data, openmetrics(book))
    fired: list[Fired] = []
    for layer in _layers(list(_rules(values))):
        made: list[Series] = []
        with Prometheus(folder) as server:
            for rule in layer:
                series, alerts = rule.run(server.range, book.clock)
                made += series
                fired += alerts
        if made:
            families: dict[str, list[Series]] = {}
            for one in made:
                families.setdefault(one.name, []).append(one)
            kinds = ((name, "gauge", several) for name, several in families.items())
            _write(folder / "rules.om", data, written(kinds, book.clock))
    return tuple(sorted(fired, key=lambda one: (one.at, one.name)))


def _write(text: Path, data: Path, lines: Iterable[str]) -> None:
    with text.open("w", encoding="utf-8") as out:
        out.writelines(lines)
    write_blocks(text, data)
    text.unlink()


def _rules(values: Values) -> Iterator[_Rule]:
    for chapter in catalogue(values):
        for group in chapter.groups:
            every = group.interval or duration(values.evaluation_seconds)
            for one in group.recordings:
                yield _Rule((one.series.name,), _needs(one.expr), _recorder(one, seconds(every)))
        for alert in chapter.alerts:
            for rule in alert.rules:
                makes = () if ALERTS in rule.expr else (ALERTS, ALERTS_FOR_STATE)
                yield _Rule(makes, _needs(rule.expr), _watcher(alert, rule, values))


def _needs(expr: str) -> frozenset[str]:
    return frozenset(_RECORDED.findall(expr))


def _layers(rules: Sequence[_Rule]) -> Iterator[list[_Rule]]:
    """Rules whose series are all there, again and again. A rule that waits for itself is a mistake of the catalogue."""
    left = list(rules)
    while left:
        missing = {name for rule in left for name in rule.makes}
        ready = [rule for rule in left if not (rule.needs & missing)]
        if not ready:
            raise ValueError(f"rules that wait for each other: {sorted(missing)}")
        yield ready
        left = [rule for rule in left if rule not in ready]


def _recorder(one: Recording, every: float) -> Callable[[Ask, Clock], tuple[list[Series], list[Fired]]]:
    def run(ask: Ask, clock: Clock) -> tuple[list[Series], list[Fired]]:
        made = []
        for labels, values in _answers(ask, one.expr, clock, max(every, clock.step)):
            labels = {name: value for name, value in labels.items() if name != "__name__"} | one.fixed
            made.append(Series(one.series.name, tuple(labels.items()), values))
        return made, []

    return run


def _watcher(alert: Alert, rule: Rule, values: Values) -> Callable[[Ask, Clock], tuple[list[Series], list[Fired]]]:
    hold, keep = seconds(held(alert, rule, values)), seconds(rule.keep or "0")

    def run(ask: Ask, clock: Clock) -> tuple[list[Series], list[Fired]]:
        made, fired = [], []
        for labels, answers in _answers(ask, rule.expr, clock, clock.step):
            kept = {name: value for name, value in labels.items() if name not in ("__name__", "alertstate")}
            own = {**kept, **labels_of(alert, rule), "alertname": alert.name}
            since = firing(clock.times, ~np.isnan(answers), hold, keep)
            if np.isnan(since).all():
                continue
            named = tuple(own.items())
            on = np.where(np.isnan(since), np.nan, 1.0)
            made.append(Series(ALERTS, (*named, ("alertstate", "firing")), on))
            made.append(Series(ALERTS_FOR_STATE, named, since))
            fired.append(Fired(alert.name, rule.severity, named, spans(clock.times, ~np.isnan(since))))
        return made, fired

    return run


def spans(times: Numbers, is_on: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[tuple[float, float], ...]:
    """
    First and last time of each stretch.

    >>> spans(np.arange(6.0), np.array([False, True, True, False, False, True]))
    ((1.0, 2.0), (5.0, 5.0))
    """
    edges = np.diff(np.concatenate(([0], is_on.astype(np.int8), [0])))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    return tuple((float(times[begin]), float(times[end])) for begin, end in zip(begins, ends, strict=True))


def firing(times: Numbers, is_true: np.ndarray[Any, np.dtype[np.bool_]], hold: float, keep: float) -> Numbers:
    """
    Since when it has been true, at times at which an alert fires; else NaN.

    >>> firing(np.arange(0.0, 6.0), np.array([False, True, True, True, False, False]), 1.0, 1.0)
    array([nan, nan,  1.,  1.,  1., nan])
    """
    made = np.full(len(times), np.nan)
    begun = last = np.nan
    fires = False
    for index, time in enumerate(times):
        if is_true[index]:
            begun = time if np.isnan(begun) else begun
            fires = fires or time - begun >= hold
            last = time
        elif not (fires and time - last <= keep and keep > 0):
            begun, fires = np.nan, False
        made[index] = begun if fires else np.nan
    return made


def _answers(ask: Ask, expr: str, clock: Clock, every: float) -> Iterator[tuple[dict[str, str], Numbers]]:
    """Labels and values of each row on the clock's times."""
    for row in ask(expr, clock.start, clock.end, every):
        values = np.full(clock.count, np.nan)
        for time, text in row["values"]:
            values[round((time - clock.start) / clock.step)] = float(text)
        yield row["metric"], values
