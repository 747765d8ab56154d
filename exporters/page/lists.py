"""Findings, models, services, engines, sources: one row each, the most important first, bounded. Pure."""

from collections.abc import Sequence
from typing import Final

from exporters.page.figures import Figure, count, rate, share, size
from exporters.page.groups import Engine, Group
from exporters.page.itself import Destination, Source
from exporters.page.markup import Child, Html, element, fragment
from exporters.page.parts import (
    absent,
    amount_of,
    bar,
    both,
    by_reason,
    code,
    dot,
    figure,
    moment,
    more,
    section,
    table,
    total,
)
from exporters.page.status import ERROR_SHARE_ATTENTION, QUEUE_FILL_ATTENTION
from exporters.page.view import View
from exporters.page.words import Words

MAX_MODELS: Final = 20
MAX_SERVICES: Final = 10
MAX_ENGINES: Final = 20
MAX_SOURCES: Final = 20


def models(groups: Sequence[Group], words: Words) -> Html:
    content = _groups(groups, MAX_MODELS, words, words.model) if groups else _quiet(words.no_models)
    return section("models", fragment(words.models, amount_of(len(groups))), content)


def services(groups: Sequence[Group], words: Words) -> Html:
    content = _groups(groups, MAX_SERVICES, words, words.service) if groups else _quiet(words.no_services)
    return section("services", fragment(words.services, amount_of(len(groups))), content)


def engines(rows: Sequence[Engine], words: Words) -> Html:
    heading = fragment(words.engines, amount_of(len(rows)))
    if not rows:
        return section("engines", heading, _quiet(words.no_engines))
    why = words.absent_engine
    running, waiting = words.running.capitalize(), words.waiting.capitalize()
    labels = [words.engine, words.state, running, waiting, words.kv_cache, words.output_tokens]
    cells: list[list[Child]] = [
        [
            _named(row.address, " · ".join(filter(None, (row.provider, row.model))), words),
            dot(row.up, words, row.reason),
            absent(why) if row.running is None else count(row.running),
            absent(why) if row.waiting is None else count(row.waiting),
            absent(why) if row.kv_cache is None else bar(row.kv_cache, str(share(row.kv_cache))),
            figure(None if row.output_rate is None else Figure(rate(row.output_rate), words.per_second), why),
        ]
        for row in rows[:MAX_ENGINES]
    ]
    return section(
        "engines", heading, table("engines", [*labels], cells, labels), more(len(rows) - MAX_ENGINES, words.more)
    )


def sources(view: View, words: Words) -> Html:
    heading = fragment(words.sources, " ", element("small", words.since_start))
    rows = [_source(source, view.now, words) for source in view.sources[:MAX_SOURCES]]
    return section(
        "sources",
        heading,
        element("ul", rows, class_="sources") if rows else _quiet(words.no_sources),
        more(len(view.sources) - MAX_SOURCES, words.more),
        [
            element("p", words.queues, ": ", name, " ", bar(fill, str(share(fill))), class_="quiet")
            for name, fill in tuple(view.queues.items())[:MAX_SOURCES]
        ],
    )


def destinations(view: View, words: Words) -> Html:
    """Where the numbers go, and what watchkeeper itself costs."""
    itself = view.itself
    return section(
        "exporters",
        words.exporters,
        element("ul", [_destination(each, words) for each in view.destinations[:MAX_SOURCES]], class_="sources")
        if view.destinations
        else _quiet(words.absent_itself),
        element(
            "p",
            f"{words.memory} ",
            figure(None if itself.memory_bytes is None else size(itself.memory_bytes), words.absent_itself),
            f" · {words.series} ",
            absent(words.absent_itself) if itself.series is None else count(itself.series),
            class_="quiet",
        ),
    )


def _groups(groups: Sequence[Group], most: int, words: Words, kind: str) -> Html:
    why = words.absent_group
    quantiles = f"{words.median}\u00a0/\u00a0{words.p95}"
    labels = [
        kind,
        words.requests,
        words.error_share,
        f"{words.ttft} {quantiles}",
        f"{words.tpot} {quantiles}",
        words.output_tokens,
    ]
    small = element("small", quantiles)
    headings: list[Child] = [
        *labels[:2],
        element("span", words.error_share, title=words.errors_meaning),
        fragment(words.ttft, " ", small),
        fragment(words.tpot, " ", small),
        labels[5],
    ]
    rows: list[list[Child]] = [
        [
            _named(group.name, group.detail, words),
            figure(None if group.request_rate is None else Figure(rate(group.request_rate), words.per_second), why),
            _error_share(group.error_share, words),
            _measured(group, words),
            both(group.per_token, why),
            figure(None if group.output_rate is None else Figure(rate(group.output_rate), words.per_second), why),
        ]
        for group in groups[:most]
    ]
    return fragment(table("groups", headings, rows, labels), more(len(groups) - most, words.and_more))


def _measured(group: Group, words: Words) -> Html:
    """Time to first token, and where it was measured."""
    if group.first_token is None:
        return absent(words.absent_ttft)
    place = words.origins_short[group.first_token.origin]
    return fragment(
        both(group.first_token, words.absent_group),
        element("small", place, class_="place", title=words.origins[group.first_token.origin]),
    )


def _error_share(value: float | None, words: Words) -> Html:
    if value is None:
        return absent(words.absent_errors)
    return element(
        "span", str(share(value)), class_="warn" if value >= ERROR_SHARE_ATTENTION else "faint" if not value else None
    )


def _source(source: Source, now: float, words: Words) -> Html:
    age = absent(words.absent_record)
    if source.last_record_at is not None:
        age = moment(source.last_record_at, words.ago_of(now - source.last_record_at))
    queue = absent(words.absent_queue)
    if source.queue_fill is not None:
        full = source.queue_fill >= QUEUE_FILL_ATTENTION
        queue = element("span", str(share(source.queue_fill)), class_="warn" if full else None)
    counts = {
        words.failures: source.failures_by,
        words.refused_requests: source.refused_by,
        words.rejected: source.rejected_by,
        words.dropped: source.dropped_by,
    }
    facts: list[tuple[str, Child]] = [
        (words.last_record, age),
        (words.queue, queue),
        *((name, total(by)) for name, by in counts.items()),
    ]
    return element(
        "li",
        element("p", element("b", source.name or words.unnamed), dot(source.up, words)),
        element("dl", [element("div", element("dt", name), element("dd", fact)) for name, fact in facts]),
        [
            element("p", words.reasons_of.format(name=name, reasons=by_reason(by, words)), class_="reasons")
            for name, by in counts.items()
            if by
        ],
    )


def _destination(destination: Destination, words: Words) -> Html:
    failed = None
    if destination.failures_by:
        said = words.reasons_of.format(name=words.not_written, reasons=by_reason(destination.failures_by, words))
        failed = element("p", said, class_="reasons")
    return element("li", element("p", element("b", destination.name), dot(destination.up, words)), failed)


def _named(name: str, detail: str, words: Words) -> Html:
    return fragment(element("b", name or words.unnamed), element("small", detail) if detail else None)


def _quiet(text: str) -> Html:
    return element("p", code(text), class_="quiet")
