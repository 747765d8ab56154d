"""`watchkeeper report drift`: a page of each segment by Evidently, and one of ours: what its verdicts are worth."""

import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import msgspec

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.agent.report import evidently_columns as evidently
from watchkeeper.agent.report.counts import Stream, reference_counts, window_counts
from watchkeeper.agent.report.drift import FALSE_ENTRIES
from watchkeeper.agent.report.evidently_columns import Column, Verdict
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.record import DriftOfPeriod
from watchkeeper.agent.report.sheet import (
    both,
    day,
    document,
    figure,
    lines,
    number,
    odds,
    place_of,
    said,
    share,
    table,
    title,
)
from watchkeeper.agent.report.sources import Sources
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Segment

VERSION: Final = 1
_FOLDER: Final = "evidently"
Writes = Callable[[Path, bytes], Path]


class DriftReport(msgspec.Struct, frozen=True):
    """What is written as JSON beside Evidently's own."""

    version: int
    made_at: float
    period: Period
    false_entries: float
    """bound on the expected share of false entries among what is listed as drifted"""
    tolerance: float
    """within which Evidently's distances are ours, where `is_same`"""
    drift: tuple[DriftOfPeriod, ...]
    evidently: tuple[Verdict, ...]
    """of each of `drift`, in its order"""
    pages: tuple[str, ...]
    """Evidently's, beside this file"""


def write(read: Sources, folder: Path, made_at: float, write_file: Writes) -> list[Path]:
    """
    :param made_at: unix seconds
    :return: what was written
    :raises ConfigError: there is nothing to report on, or Evidently is not installed
    """
    if not read.drift:
        raise ConfigError(
            f"--period {read.period.name}: no signal of it has an approved reference and observations; look at "
            "watchkeeper reference list, and at --model and --service"
        )
    written: list[Path] = []
    found: dict[tuple[str, str], Verdict] = {}
    pages = []
    for segment, rows in groupby(sorted(read.drift, key=_segment), key=_segment):
        held = list(rows)
        columns = list(_columns(read, held))
        snapshot = evidently.run(columns, f"{segment.text} {read.period.name}")
        for row, verdict in zip(held, evidently.verdicts(columns, held, snapshot), strict=True):
            found[segment.text + "/" + row.signal, row.reference] = verdict
        name = f"{_FOLDER}/{_slug(segment)}"
        written.append(write_file(folder / f"{name}.json", snapshot.json().encode()))
        written.append(write_file(folder / f"{name}.html", snapshot.get_html_str(as_iframe=False).encode()))
        pages.append(f"{name}.html")
    report = DriftReport(
        version=VERSION,
        made_at=made_at,
        period=read.period,
        false_entries=FALSE_ENTRIES,
        tolerance=evidently.TOLERANCE,
        drift=read.drift,
        evidently=tuple(found[_segment(row).text + "/" + row.signal, row.reference] for row in read.drift),
        pages=tuple(pages),
    )
    name = f"drift-{read.period.name.replace('/', '_')}"
    written.append(write_file(folder / f"{name}.json", msgspec.json.format(msgspec.json.encode(report), indent=1)))
    written.append(write_file(folder / f"{name}.html", page(report).encode()))
    return written


def _segment(row: DriftOfPeriod) -> Segment:
    return Segment(row.namespace, row.service, row.model)


def _slug(segment: Segment) -> str:
    """A name of a file for a segment; two never share one."""
    text = segment.text
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', text)[:80]}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def _columns(read: Sources, rows: list[DriftOfPeriod]) -> Iterator[Column]:
    signals = [row.signal for row in rows]
    for row in rows:
        hours, _ = read.streams[Stream(_segment(row).text, row.signal, row.reference)]
        pack = read.packs[row.reference]
        name = row.signal if signals.count(row.signal) == 1 else f"{row.signal} [{row.reference[:8]}]"
        yield evidently.column(name, pack, window_counts(pack, hours), reference_counts(pack, hours))


def page(report: DriftReport) -> str:
    """HTML. The same report gives the same bytes."""
    period = report.period
    body = (
        element("h1", both("Drift", "漂移", "pair"), f" {period.name}"),
        element("p", f"{day(period.since)} – {day(period.until - 1)} UTC", class_="quiet"),
        title("Each signal beside its approved reference", "各信号与已批准参考的对比"),
        _signals(report),
        title("Where Evidently's default verdict would mislead", "Evidently 默认结论会误导之处"),
        _explained(report),
        _misled(report),
        title("The same numbers by Evidently", "Evidently 给出的同一组数值"),
        _same(report),
        element(
            "p",
            both("Evidently's own pages", "Evidently 原始页面", "pair"),
            ": ",
            [fragment(element("a", name, href=name), " ") for name in report.pages],
        ),
    )
    return document(f"Drift 漂移 {period.name}", body)


def _signals(report: DriftReport) -> Html:
    rows: list[tuple[Child, ...]] = []
    for place, row in enumerate(report.drift):
        at = f"/drift/{place}"
        verdict = both("drifted", "漂移", "pair") if row.is_listed else both("as before", "未变", "pair")
        psi = row.distances["psi"]
        rows.append(
            (
                element("span", row.signal, class_="whole"),
                place_of(row),
                element("span", verdict, class_="bad" if row.is_listed else None),
                said(row.moved),
                figure(f"{at}/distances/psi/value", number(psi.value)),
                "" if psi.noise is None else figure(f"{at}/distances/psi/noise", number(psi.noise)),
                figure(f"{at}/log_e", odds(row.log_e)),
                figure(f"{at}/observations", f"{row.observations:,}"),
                element("code", row.reference[:8], title=row.reference),
            )
        )
    columns = (
        ("signal", "信号"),
        ("of", "对象"),
        ("verdict", "结论"),
        ("moved", "变化"),
        ("PSI", "PSI"),
        ("by chance up to", "偶然上限"),
        ("odds of the period", "本期几率"),
        ("observations", "观测数"),
        ("reference", "参考"),
    )
    return table(columns, rows)


def _explained(report: DriftReport) -> Html:
    bound = share(report.false_entries)
    return element(
        "p",
        both(
            "Evidently picks a method by the size of the reference and compares it with a fixed threshold, whatever "
            "the size of the window. Beside each verdict stands how often the same method calls drift what is none at "
            f"these sizes. Ours rests on evidence of the whole period; of what it lists at most {bound} is false on "
            "average. By chance right: above one in ten it would have been wrong.",
            "Evidently 按参考规模选方法，并与固定阈值比较，不考虑窗口大小。"
            "各结论旁为同一方法在此样本量下对无漂移样本误判为漂移的比例。"
            f"本结论基于整个期间的证据；所列条目平均误列不超过 {bound}。碰巧正确：十次中有一次以上会误判。",
        ),
    )


def _misled(report: DriftReport) -> Html:
    rows = [_misleading(report, place) for place, one in enumerate(report.evidently) if one.verdict != "agrees"]
    if not rows:
        return element("p", both("Nowhere in this period.", "本期无。", "pair"))
    columns = (
        ("signal", "信号"),
        ("its verdict", "其结论"),
        ("its method", "其方法"),
        ("its score", "其得分"),
        ("called drift where there is none", "无漂移时误判比例"),
        ("rows, of the reference", "行数 / 参考行数"),
        ("odds by our evidence", "本证据的几率"),
    )
    return table(columns, rows)


def _misleading(report: DriftReport, place: int) -> tuple[Child, ...]:
    one, at = report.evidently[place], f"/evidently/{place}"
    words = {"false alarm": ("false alarm", "误报"), "missed": ("missed", "漏报")}
    limit = f"{'≤' if 'p_value' in one.default_method else '≥'} {one.default_threshold:g}"
    return (
        _signal(report, place),
        both(*words.get(one.verdict, ("right by chance", "碰巧正确")), "pair"),
        lines(one.default_method, element("small", limit)),
        figure(f"{at}/default_score", number(one.default_score)),
        figure(f"{at}/cries_wolf", share(one.cries_wolf)),
        fragment(
            figure(f"{at}/rows", f"{one.rows:,}"), " / ", figure(f"{at}/reference_rows", f"{one.reference_rows:,}")
        ),
        figure(f"/drift/{place}/log_e", odds(report.drift[place].log_e)),
    )


def _signal(report: DriftReport, place: int) -> Html:
    row = report.drift[place]
    return lines(element("span", row.signal, class_="whole"), element("small", place_of(row)))


def _same(report: DriftReport) -> Html:
    rows = [_pairs(report, place) for place in range(len(report.evidently))]
    columns = (
        ("signal", "信号"),
        ("PSI: its, ours", "PSI：其、本"),
        ("Jensen-Shannon, bits", "JS 散度（比特）"),
        ("Wasserstein, deviations", "Wasserstein（标准差）"),
        ("its p of Kolmogorov-Smirnov", "其 KS 的 p 值"),
        ("our distance", "本 KS 距离"),
        (f"the same within {report.tolerance:g}", f"相差不超过 {report.tolerance:g}"),
    )
    note = both(
        "Both are given the same bins. No: a bin holds less than 0.01 % of the rows, where the two fill empty bins "
        f"differently; or a side has more than {evidently.MOST_ROWS:,} rows and Evidently was given a part.",
        "两者使用相同分箱。“否”：某分箱不足 0.01 %，两者对空箱的填充不同；"
        f"或一侧超过 {evidently.MOST_ROWS:,} 行，仅交给 Evidently 一部分。",
    )
    return fragment(element("p", note), table(columns, rows))


def _pairs(report: DriftReport, place: int) -> tuple[Child, ...]:
    one, at = report.evidently[place], f"/evidently/{place}"

    def pair(name: str, theirs: float | None, ours: float | None) -> Child:
        if theirs is None or ours is None:
            return ""
        return fragment(figure(f"{at}/{name}", number(theirs)), " ", figure(f"{at}/{name}_ours", number(ours)))

    distance = one.kolmogorov_smirnov_ours
    return (
        _signal(report, place),
        pair("psi", one.psi, one.psi_ours),
        pair("jensen_shannon", one.jensen_shannon, one.jensen_shannon_ours),
        pair("wasserstein", one.wasserstein, one.wasserstein_ours),
        "" if one.ks_p_value is None else figure(f"{at}/ks_p_value", number(one.ks_p_value)),
        "" if distance is None else figure(f"{at}/kolmogorov_smirnov_ours", number(distance)),
        both("yes", "是", "pair") if one.is_same else both("no", "否", "pair"),
    )
