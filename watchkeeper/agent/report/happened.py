"""The first table of the record: what changed, how bad it was, and what was done about it."""

from typing import Final

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.agent.report.record import DriftOfPeriod, FindingLife, Record
from watchkeeper.agent.report.sheet import both, figure, lasting, lines, more, part, place_of, said, table, when

_STANDINGS: Final = {
    "open": ("open", "未处理"),
    "acknowledged": ("taken up", "已受理"),
    "resolved": ("over", "已恢复"),
    "closed": ("closed", "已关闭"),
}
_SEVERITIES: Final = ("critical", "warning", "info")
_MOST: Final = 7


def changed(record: Record) -> Html:
    """The gravest that there is room for, in order of time; then drift that no finding told."""
    beside = [_drift_of(one, record) for one in record.incidents]
    gravest = sorted(range(len(beside)), key=lambda place: (_rank(record.incidents[place]), place))[:_MOST]
    rows = [_incident(record, place, beside[place]) for place in sorted(gravest)]
    silent = [number for number, row in enumerate(record.drift) if row.is_listed and number not in beside]
    shown = silent[: _MOST - len(rows)]
    rows += [_untold(record, number) for number in shown]
    columns = (
        ("began – over", "开始 – 结束"),
        ("what, where", "内容、位置"),
        ("how bad", "程度"),
        ("told after; taken up after", "告警用时；受理用时"),
        ("cause", "原因"),
        ("what was done", "处置"),
    )
    left = len(record.incidents) - len(gravest) + len(silent) - len(shown)
    content = fragment(table(columns, rows), more(left, "JSON")) if rows else None
    return part(record, "incidents", "What changed, and what was done", "发生了什么、如何处置", content)


def _rank(finding: FindingLife) -> int:
    return _SEVERITIES.index(finding.severity) if finding.severity in _SEVERITIES else len(_SEVERITIES)


def _drift_of(finding: FindingLife, record: Record) -> int | None:
    """The row of drift that a finding told of."""
    return next((place for place, row in enumerate(record.drift) if _is_of(finding, row)), None)


def _is_of(finding: FindingLife, row: DriftOfPeriod) -> bool:
    same = all(getattr(finding, name) == getattr(row, name) for name in ("namespace", "service", "model"))
    end = finding.since + (finding.duration_seconds or float("inf"))
    beside = any(spell.since < end + 86_400 and finding.since < spell.until for spell in row.spells)
    return finding.is_drift and same and finding.name == row.signal and beside


def _incident(record: Record, place: int, drift: int | None) -> tuple[Child, ...]:
    one, at = record.incidents[place], f"/incidents/{place}"
    end = min((x for x in (one.resolved_at, one.closed_at) if x is not None), default=None)
    over: Child = (
        figure(f"{at}/{'resolved_at' if end == one.resolved_at else 'closed_at'}", when(end), "when")
        if end
        else both("lasts", "持续中", "pair")
    )
    bad: list[Child] = [one.summary]
    if drift is not None:
        bad = [said(record.drift[drift].moved)]
    if one.duration_seconds is not None:
        bad.append(figure(f"{at}/duration_seconds", lasting(one.duration_seconds)))
    return (
        lines(figure(f"{at}/since", when(one.since), "when"), over),
        lines(_name(one.name or one.subject), element("small", place_of(one)), element("small", one.severity)),
        lines(*bad),
        lines(figure(f"{at}/detection_seconds", lasting(one.detection_seconds)), _response(one, at)),
        _cause(one),
        _done(one),
    )


def _name(text: str) -> Html:
    return element("strong", text, class_=None if " " in text else "whole")


def _response(one: FindingLife, at: str) -> Child:
    if one.response_seconds is None:
        return both("nobody", "无人受理", "pair")
    who = one.acknowledged_by or (one.deeds[0].who if one.deeds else "")
    return fragment(figure(f"{at}/response_seconds", lasting(one.response_seconds)), f" {who}")


def _cause(one: FindingLife) -> Child:
    if one.cause:
        return fragment(one.cause, " ", element("small", one.cause_by))
    open_ = both("not confirmed", "未确认", "pair")
    if not one.probable_cause:
        return open_
    return lines(open_, element("small", both("probable", "可能", "pair"), ": ", one.probable_cause))


def _done(one: FindingLife) -> Child:
    told = [
        fragment(deed.text, " ", element("small", f"{deed.who} {when(deed.at)}"))
        for deed in one.deeds
        if deed.deed in ("closed", "commented") and deed.text
    ]
    standing = both(*_STANDINGS[one.standing], "pair") if one.standing in _STANDINGS else one.standing
    return lines(*told, element("small", standing))


def _untold(record: Record, number_: int) -> tuple[Child, ...]:
    """Drift that the period as a whole shows and no finding told."""
    row, at = record.drift[number_], f"/drift/{number_}"
    spell = row.spells[0] if row.spells else None
    times = (
        lines(
            figure(f"{at}/spells/0/since", when(spell.since), "when"),
            figure(f"{at}/spells/0/until", when(spell.until), "when"),
        )
        if spell
        else both("whole period", "整个期间")
    )
    return (
        times,
        lines(_name(row.signal), element("small", place_of(row))),
        said(row.moved),
        both("no finding told it", "无告警记录"),
        None,
        None,
    )
