"""The governance record as one page to print: what changed, when, how bad, what was done; then what it rests on."""

from collections.abc import Iterator
from statistics import median
from typing import Final

from exporters.page.markup import Child, Html, element, fragment
from watchkeeper.agent.report.annex import requirements, rests_on
from watchkeeper.agent.report.happened import changed
from watchkeeper.agent.report.record import (
    Record,
    SloAttained,
)
from watchkeeper.agent.report.sheet import (
    both,
    day,
    document,
    figure,
    hash_,
    lasting,
    lines,
    more,
    number,
    odds,
    part,
    place_of,
    said,
    share,
    table,
    when,
)

_MOST: Final = {
    "slos": 6,
    "drift": 5,
    "safety": 6,
    "changes": 5,
    "models": 3,
    "links": 3,
    "blind": 4,
}
"""rows that are shown, so that two pages hold what is to be read; all are in the JSON"""
_SLIS: Final = {
    "availability": ("availability", "可用性"),
    "ttft": ("time to first token", "首词元时间"),
    "tpot": ("time per output token", "每词元时间"),
}


def page(record: Record) -> str:
    """HTML. The same record gives the same bytes."""
    body = (
        _head(record),
        _summary(record),
        changed(record),
        _objectives(record),
        _drift(record),
        _safety(record),
        _changes(record),
        _models(record),
        _completeness(record),
        _false_alarms(record),
        requirements(record),
        rests_on(record),
    )
    return document(f"Governance record 治理记录 {record.period.name}", body)


def _head(record: Record) -> Html:
    period = record.period
    facts = f"{day(period.since)} – {day(period.until - 1)} UTC"
    scope = ", ".join(f"{name} {word}" for name, word in record.scope.items())
    told = " · ".join(
        filter(None, (facts, record.deployment, scope, f"watchkeeper {record.made_with}", f"{day(record.made_at)}"))
    )
    return fragment(
        element("h1", both("Governance record", "治理记录", "pair"), f" {period.name}"),
        element("p", told, class_="quiet"),
    )


def _summary(record: Record) -> Html:
    rows = [element("li", both(en, zh)) for en, zh in _sentences(record)]
    return element("div", element("ul", rows), class_="summary")


def _sentences(record: Record) -> Iterator[tuple[str, str]]:
    if record.made_at < record.period.until:
        yield (
            f"The period is not over: this is what was known on {day(record.made_at)} {when(record.made_at)[-5:]}.",
            f"本期尚未结束：以下截至 {day(record.made_at)} {when(record.made_at)[-5:]}。",
        )
    if not (record.drift or record.completeness.links or record.incidents):
        yield "Nothing was observed in this period.", "本期没有任何观测。"
    listed = [one for one in record.drift if one.is_listed]
    if record.drift:
        yield (
            f"{len(listed)} of {len(record.drift)} watched signals drifted; at most {share(record.false_entries)} of "
            "such a list is false on average.",
            f"{len(record.drift)} 个受监视信号中 {len(listed)} 个发生漂移；"
            f"此类清单平均误列不超过 {share(record.false_entries)}。",
        )
    if "incidents" not in record.absent:
        caused = sum(1 for one in record.incidents if one.cause)
        waits = [one.response_seconds for one in record.incidents if one.response_seconds is not None]
        en = f"{len(record.incidents)} incidents, {caused} with a cause that a person confirmed"
        zh = f"{len(record.incidents)} 起事件，其中 {caused} 起由人员确认原因"
        if waits:
            en += f"; taken up after {lasting(median(waits))} (median), {len(record.incidents) - len(waits)} by nobody"
            zh += f"；受理时间中位数 {lasting(median(waits))}，{len(record.incidents) - len(waits)} 起无人受理"
        yield f"{en}.", f"{zh}。"
    if record.slos:
        missed = sum(1 for one in record.slos if one.budget_spent > 1)
        yield (
            f"{missed} of {len(record.slos)} objectives were missed.",
            f"{len(record.slos)} 项目标中 {missed} 项未达成。",
        )
    whole = record.completeness
    if whole.watched_seconds is not None and whole.period_seconds > 0:
        blind = whole.period_seconds - whole.watched_seconds
        covered = share(whole.watched_seconds / whole.period_seconds)
        yield (
            f"watchkeeper watched {covered} of the time and was blind for {lasting(blind)}.",
            f"watchkeeper 监视了 {covered} 的时间，盲区共 {lasting(blind)}。",
        )
    alarms = record.false_alarms
    if "false_alarms" not in record.absent:
        yield (
            f"False alarms of drift: at most {alarms.promised:.2g} promised on average; {alarms.told} told, "
            f"{alarms.confirmed} of them with a confirmed cause.",
            f"漂移误报：承诺平均不超过 {alarms.promised:.2g} 次；"
            f"共告警 {alarms.told} 次，其中 {alarms.confirmed} 次原因已确认。",
        )


def _objectives(record: Record) -> Html:
    rows = [_objective(record, place) for place in range(min(len(record.slos), _MOST["slos"]))]
    columns = (
        ("objective", "目标"),
        ("of", "对象"),
        ("promised", "承诺"),
        ("attained", "达成"),
        ("budget spent", "已用错误预算"),
        ("bad / all", "不良 / 总数"),
        ("from; hours covered", "来源；覆盖小时"),
    )
    content = fragment(table(columns, rows), more(len(record.slos) - len(rows), "JSON")) if rows else None
    return part(record, "slos", "Service objectives", "服务目标", content)


def _objective(record: Record, place: int) -> tuple[Child, ...]:
    one: SloAttained = record.slos[place]
    at = f"/slos/{place}"
    limit = f" ≤ {one.limit_seconds:g} s" if one.limit_seconds else ""
    kind = "number bad" if one.budget_spent > 1 else "number good"
    return (
        fragment(both(*_SLIS.get(one.sli, (one.sli, one.sli)), "pair"), limit),
        place_of(one),
        figure(f"{at}/objective", share(one.objective)),
        figure(f"{at}/attained", share(one.attained), kind),
        figure(f"{at}/budget_spent", share(one.budget_spent)),
        fragment(figure(f"{at}/bad", f"{one.bad:,.0f}"), " / ", figure(f"{at}/events", f"{one.events:,.0f}")),
        fragment(one.source, " ", figure(f"{at}/covered", share(one.covered))),
    )


def _drift(record: Record) -> Html:
    listed = [place for place, one in enumerate(record.drift) if one.is_listed]
    rows = [_drifted(record, place) for place in listed[: _MOST["drift"]]]
    columns = (
        ("signal", "信号"),
        ("of", "对象"),
        ("moved", "变化"),
        ("PSI, month", "PSI（全期）"),
        ("by chance up to", "偶然上限"),
        ("odds that it left its band", "离开容许带的几率"),
        ("observations", "观测数"),
        ("reference, approved by", "参考、批准人"),
    )
    content = fragment(
        table(columns, rows) if rows else None, more(len(listed) - len(rows), "JSON"), _as_before(record)
    )
    return part(record, "drift", "Drift against approved references", "相对已批准参考的漂移", content)


def _as_before(record: Record) -> Html | None:
    """How many did not drift, by signal."""
    signals: dict[str, int] = {}
    for one in record.drift:
        if not one.is_listed:
            signals[one.signal] = signals.get(one.signal, 0) + 1
    if not signals:
        return None
    total, names = sum(signals.values()), ", ".join(f"{name} ({count})" for name, count in sorted(signals.items()))
    return element(
        "p",
        both(f"{total} others are as they were approved", f"其余 {total} 个与批准时一致", "pair"),
        ": ",
        names,
        class_="quiet",
    )


def _drifted(record: Record, place: int) -> tuple[Child, ...]:
    one, at = record.drift[place], f"/drift/{place}"
    psi = one.distances["psi"]
    late = element("small", both("approved after the period", "期后批准")) if one.is_retrospective else None
    return (
        element("span", one.signal, class_="whole"),
        place_of(one),
        said(one.moved),
        figure(f"{at}/distances/psi/value", number(psi.value)),
        figure(f"{at}/distances/psi/noise", number(psi.noise)) if psi.noise is not None else None,
        figure(f"{at}/log_e", odds(one.log_e)),
        figure(f"{at}/observations", f"{one.observations:,}"),
        lines(fragment(hash_(one.reference), f" {one.approved_by} {day(one.approved_at)}"), late),
    )


def _safety(record: Record) -> Html:
    shown = record.safety[: _MOST["safety"]]
    rows = [
        (
            one.check,
            place_of(one),
            figure(f"/safety/{place}/share", share(one.share), "number bad" if one.is_drifted else "number"),
            f"{share(one.low)} – {share(one.high)}",
            "-"
            if one.reference_share is None
            else figure(f"/safety/{place}/reference_share", share(one.reference_share)),
            fragment(
                figure(f"/safety/{place}/marked", f"{one.marked:,}"),
                " / ",
                figure(f"/safety/{place}/answers", f"{one.answers:,}"),
            ),
        )
        for place, one in enumerate(shown)
    ]
    columns = (
        ("check", "检查"),
        ("of", "对象"),
        ("answers marked", "命中比例"),
        ("95 % limits", "95 % 置信限"),
        ("in the reference", "参考中"),
        ("marked / checked", "命中 / 已检"),
    )
    content = fragment(table(columns, rows), more(len(record.safety) - len(rows), "JSON")) if rows else None
    return part(record, "safety", "Output checks", "输出检查", content)


def _changes(record: Record) -> Html:
    shown = list(enumerate(record.changes))
    if len(shown) > _MOST["changes"]:  # what was decided before what was only proposed
        shown = sorted(shown, key=lambda one: one[1].deed == "proposed")[: _MOST["changes"]]
    rows = [
        (
            figure(f"/changes/{place}/at", when(one.at), "when"),
            f"{one.kind}: {one.deed}",
            lines(one.subject, hash_(one.hash) if one.hash else None),
            one.who or "-",
            one.why,
        )
        for place, one in sorted(shown)
    ]
    columns = (("when", "时间"), ("what", "类别"), ("of", "对象"), ("who", "何人"), ("why, or how", "原因或内容"))
    content = (
        fragment(table(columns, rows), more(len(record.changes) - len(rows), "JSON"))
        if rows
        else element("p", both("none", "无", "pair"))
    )
    return part(record, "changes", "Changes and approvals", "变更与批准", content)


def _models(record: Record) -> Html:
    order = sorted(enumerate(record.models), key=lambda one: (not one[1].is_new, one[0]))[: _MOST["models"]]
    rows = [
        (
            fragment(one.model, f" {one.version}" if one.version not in ("", one.model) else ""),
            "/".join(filter(None, (one.namespace, one.service))),
            one.provider or "-",
            figure(f"/models/{place}/first_seen", day(one.first_seen), "when"),
            figure(f"/models/{place}/last_seen", day(one.last_seen), "when"),
            element("span", both("new", "新", "pair"), class_="bad") if one.is_new else "",
        )
        for place, one in order
    ]
    columns = (
        ("model, version", "模型、版本"),
        ("service", "服务"),
        ("provider", "提供方"),
        ("first seen", "首次出现"),
        ("last seen", "最近出现"),
        ("", ""),
    )
    content = fragment(table(columns, rows), more(len(record.models) - len(rows), "JSON")) if rows else None
    return part(record, "models", "Models and versions", "模型与版本", content)


def _completeness(record: Record) -> Html:
    whole = record.completeness
    rows = [
        (
            place_of(one),
            figure(f"/completeness/links/{place}/calls", f"{one.calls:,}"),
            fragment(figure(f"/completeness/links/{place}/hours", f"{one.hours:,}"), f" / {record.period.hours:,}"),
            fragment(
                figure(f"/completeness/links/{place}/longest_silence_since", when(one.longest_silence_since), "when"),
                " – ",
                figure(f"/completeness/links/{place}/longest_silence_until", when(one.longest_silence_until), "when"),
            ),
        )
        for place, one in enumerate(whole.links[: _MOST["links"]])
    ]
    columns = (
        ("calls of", "调用来源"),
        ("calls", "调用数"),
        ("hours with calls", "有调用的小时"),
        ("longest silence", "最长静默"),
    )
    told = [_blind(record), _lost(record)]
    content = fragment(told, table(columns, rows) if rows else None, more(len(whole.links) - len(rows), "JSON"))
    return part(record, "completeness", "Completeness of the data links", "数据链路完整性", content)


def _blind(record: Record) -> Html | None:
    whole = record.completeness
    if whole.watched_seconds is None:
        return None
    times = [
        fragment(
            ", " if place else "",
            figure(f"/completeness/blind/{place}/since", when(one.since), "when"),
            " – ",
            figure(f"/completeness/blind/{place}/until", when(one.until), "when"),
        )
        for place, one in enumerate(whole.blind[: _MOST["blind"]])
    ]
    return element(
        "p",
        both("watchkeeper itself was blind", "监视自身的盲区", "pair"),
        ": ",
        times or both("never", "无", "pair"),
        f" (± {lasting(whole.precision_seconds)})",
        more(len(whole.blind) - len(times), "JSON"),
    )


def _lost(record: Record) -> Html | None:
    whole = record.completeness
    if whole.items_accepted is None or whole.items_dropped is None:
        return None
    return element(
        "p",
        both("items lost inside, of those taken in", "内部丢失 / 已接收", "pair"),
        ": ",
        figure("/completeness/items_dropped", f"{whole.items_dropped:,.0f}"),
        " / ",
        figure("/completeness/items_accepted", f"{whole.items_accepted:,.0f}"),
    )


def _false_alarms(record: Record) -> Html:
    one = record.false_alarms
    if "false_alarms" in record.absent:
        return part(record, "false_alarms", "False alarms: promised and spent", "误报：承诺与实际", None)
    rows = [
        (
            fragment("1 / ", figure("/false_alarms/days_per_alarm", f"{one.days_per_alarm:g}"), " d"),
            figure("/false_alarms/promised", number(one.promised)),
            figure("/false_alarms/told", f"{one.told}"),
            figure("/false_alarms/confirmed", f"{one.confirmed}"),
            figure("/false_alarms/without_cause", f"{one.without_cause}"),
            figure("/false_alarms/open", f"{one.open}"),
        )
    ]
    columns = (
        ("promised, on average at most", "承诺（平均不超过）"),
        ("that is in this period", "折合本期"),
        ("drift told", "漂移告警"),
        ("cause confirmed", "原因已确认"),
        ("closed without a cause", "无原因关闭"),
        ("open", "未结"),
    )
    return part(record, "false_alarms", "False alarms: promised and spent", "误报：承诺与实际", table(columns, rows))
