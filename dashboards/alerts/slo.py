"""Objectives of services: what users feel. These page."""

from typing import Final

from dashboards.alert import PERCENT, Alert, Case, Fired, Group, Recording, Rule, Runbook, Text
from dashboards.cases import CHAT, case, fires, given, timed
from dashboards.durations import duration, seconds
from dashboards.promql import Match, Recorded, Series, but, edge, like, m, one_of, r
from dashboards.scope import MODEL, NAMESPACE, OF_SEGMENT, SERVICE, Scope, listed, scope_of
from dashboards.values import LATENCIES, Burn, Sli, Slo, Values
from watchkeeper.core.records import Outcome
from watchkeeper.core.vocabulary import requests

BAD: Final = (Outcome.ERROR.value, Outcome.TIMEOUT.value, Outcome.REJECTED.value)
VALID: Final = (Outcome.OK.value, *BAD)
"""left out: cancelled by the client, the client's own mistakes"""
VANTAGES: Final = ("engine", "page", "tap", "client")
"""from where latencies are taken: the first of these that a service has, never a mixture (decision 0003)"""
STEP: Final = "5m"
"""interval and window of what long windows are added up from"""
_SEGMENT: Final = frozenset((NAMESPACE, SERVICE, MODEL))
_OF_SLO: Final = _SEGMENT | {"slo", "sli"}

OBJECTIVE: Final = Recorded("wk:slo_objective:ratio", _OF_SLO)
BAD_EVENTS: Final = Recorded("wk:sli_bad:increase5m", _OF_SLO)
EVENTS: Final = Recorded("wk:sli_total:increase5m", _OF_SLO)
BAD_IN_AN_HOUR: Final = Recorded("wk:sli_bad:increase1h", _OF_SLO)
BUDGET_LEFT: Final = Recorded("wk:slo_budget_remaining:ratio", _OF_SLO)


def error_ratio(window: str) -> Recorded:
    """Share of bad events within a window."""
    return Recorded(f"wk:sli_error:ratio_rate{window}", _OF_SLO)


def groups(values: Values) -> tuple[Group, ...]:
    by = listed(scope_of(values).segment)
    windows = sorted({window for burn in values.burns for window in (burn.long, burn.short)} | {"1h"}, key=seconds)
    short = [window for window in windows if seconds(window) <= seconds("1h")]
    direct: list[Recording] = []
    steps: list[Recording] = []
    sums: list[Recording] = []
    for slo in values.slos:
        fixed = {"slo": slo.name, "sli": slo.sli}
        direct.append(Recording(OBJECTIVE, f"0 * group by ({by}) ({_seen(slo)}) + {slo.objective:g}", fixed))
        direct.append(Recording(BAD_IN_AN_HOUR, _bad(slo, "1h", by), fixed))
        for window in short:
            direct.append(
                Recording(error_ratio(window), f"({_bad(slo, window, by)})\n/\n({_all(slo, window, by)})", fixed)
            )
        steps.append(Recording(BAD_EVENTS, _bad(slo, STEP, by), fixed))
        steps.append(Recording(EVENTS, _all(slo, STEP, by), fixed))
    for window in windows[len(short) :]:
        ratio = f"sum_over_time({r(BAD_EVENTS)[window]}) / (sum_over_time({r(EVENTS)[window]}) > 0)"
        sums.append(Recording(error_ratio(window), ratio))
    kept = duration(values.budget_days * 86_400)
    on = listed((*scope_of(values).segment, "slo", "sli"))
    spent = f"sum_over_time({r(BAD_EVENTS)[kept]}) / (sum_over_time({r(EVENTS)[kept]}) > 0)"
    sums.append(Recording(BUDGET_LEFT, f"1 - ({spent}) / on ({on}) (1 - {r(OBJECTIVE)})"))
    return (
        Group("watchkeeper-sli", tuple(direct)),
        Group("watchkeeper-sli-steps", tuple(steps), STEP),
        Group("watchkeeper-sli-sums", tuple(sums), STEP),
    )


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    burning = tuple(_burn(values, sli) for sli in ("availability", "ttft", "tpot") if _of(values, sli))
    return (*burning, _exhausted(values, scope), _absent(values, scope))


def _of(values: Values, sli: str) -> list[Slo]:
    return [slo for slo in values.slos if slo.sli == sli]


def _selected(slo: Slo) -> dict[str, str | Match | tuple[Match, ...]]:
    asked = ((NAMESPACE, slo.namespace), (SERVICE, slo.service), (MODEL, slo.model))
    return {label: like(pattern) for label, pattern in asked if pattern}


def _requests(slo: Slo, *outcomes: str) -> Series:
    return m(requests.REQUESTS, **_selected(slo), **({"outcome": one_of(*outcomes)} if outcomes else {}))


def _seen(slo: Slo) -> Series:
    """What shows that there is such a service: an engine's page alone counts no requests, but tells latencies."""
    metric = LATENCIES.get(slo.sli)
    return _requests(slo) if metric is None else m(metric, "count", **_selected(slo))


def _bad(slo: Slo, window: str, by: str) -> str:
    """Bad events: 0, not nothing, where there were only good ones."""
    if slo.sli == "availability":
        return f"sum by ({by}) (increase({_requests(slo, *BAD)[window]}))"
    return "\nor\n".join(f"(({total} > 0) - {good})" for total, good in _latency(slo, window, by))


def _all(slo: Slo, window: str, by: str) -> str:
    """All events, where there were any."""
    if slo.sli == "availability":
        return f"sum by ({by}) (increase({_requests(slo, *VALID)[window]})) > 0"
    return "\nor\n".join(f"(({total} > 0) and {good})" for total, good in _latency(slo, window, by))


def _latency(slo: Slo, window: str, by: str) -> list[tuple[str, str]]:
    """All and good events by vantage, the best one first."""
    metric = LATENCIES[slo.sli]
    matchers = _selected(slo)
    if slo.sli == "ttft":  # what is not streamed has its first token at its end
        matchers |= {"gen_ai_request_stream": but("false"), "watchkeeper_engine_role": but("decode")}
    else:
        matchers |= {"watchkeeper_engine_role": but("prefill")}
    return [
        (
            f"sum by ({by}) (increase({m(metric, 'count', **matchers, watchkeeper_vantage=vantage)[window]}))",
            f"sum by ({by}) (increase("
            f"{m(metric, 'bucket', **matchers, watchkeeper_vantage=vantage, le=edge(slo.seconds))[window]}))",
        )
        for vantage in VANTAGES
    ]


def _too_fast(values: Values, burn: Burn, sli: str, on: str) -> str:
    allowed = f"on ({on}) ({values.factor(burn):g} * (1 - {r(OBJECTIVE)}))"
    long, short = (r(error_ratio(window), sli=sli) for window in (burn.long, burn.short))
    return f"(\n  {long} > {allowed}\n  and\n  {short} > {allowed}\n)"


def _burn(values: Values, sli: Sli) -> Alert:
    on = listed((*scope_of(values).segment, "slo", "sli"))
    rules = []
    for severity, hold in (("critical", "2m"), ("warning", "15m")):
        burns = [burn for burn in values.burns if burn.severity == severity]
        if not burns:
            continue
        expr = "\nor\n".join(_too_fast(values, burn, sli, on) for burn in burns)
        bad = (
            str(r(BAD_IN_AN_HOUR, sli=sli))
            if severity == "critical"
            else f"sum_over_time({r(BAD_EVENTS, sli=sli)['1d']})"
        )
        expr = f"(\n{expr}\n)\nand on ({on}) {bad} >= {values.min_bad_events}"
        rules.append(Rule("critical" if severity == "critical" else "warning", expr, hold))
    words = _WORDS[sli]
    return Alert(
        name=f"Watchkeeper{words.name}BudgetBurn",
        area="slo",
        rules=tuple(rules),
        labels=(*scope_of(values).segment, "slo"),
        title=words.title,
        summary=Text(
            f"{OF_SEGMENT.en}: {{value}} {words.bad.en} since {{since}}",
            f"{OF_SEGMENT.zh}：{{value}} {words.bad.zh}，自 {{since}}",
        ),
        detail=Text(
            "The error budget of objective {slo} burns too fast, over a long and a short window.",
            "目标 {slo} 的错误预算消耗过快，长窗口和短窗口都已确认。",
        ),
        show=PERCENT,
        runbook=words.runbook,
        cases=_CASES[sli],
    )


class _Words:
    def __init__(self, name: str, title: Text, bad: Text, runbook: Runbook) -> None:
        self.name, self.title, self.bad, self.runbook = name, title, bad, runbook


_WORDS: Final[dict[str, _Words]] = {
    "availability": _Words(
        "Availability",
        Text("Requests fail", "请求失败"),
        Text("of requests failed", "的请求失败"),
        Runbook(
            meaning=Text(
                "Users get errors, timeouts or refusals. At this pace the budget of the period is gone in days or hours.",
                "用户收到错误、超时或被拒绝。照此速度，整个周期的错误预算会在几天或几小时内耗尽。",
            ),
            first=Text(
                "Open the dashboard; split failures by `outcome` and pod. One pod: take it out of rotation. All pods:"
                " roll back the last rollout or gateway change. Mostly `rejected`: add replicas or shed load.",
                "打开看板，按 `outcome` 和 Pod 拆分失败请求。只有一个 Pod：摘流。所有 Pod：回滚最近一次发布或网关变更。"
                "以 `rejected` 为主：扩容或限流。",
            ),
            false_alarm=Text(
                "Health probes or a load test counted as traffic. A client with a broken retry loop: one tenant has all"
                " failures. A ticket that comes after a page was fixed: the long windows still hold the incident.",
                "健康检查或压测被算作流量；某个客户端死循环重试（失败集中在一个租户）；"
                "故障已修复后才来的工单：长窗口里仍包含那次故障。",
            ),
            next=Text(
                "WatchkeeperEngineStalled and the device alerts of the same model; WatchkeeperQueueSaturated if requests"
                " are rejected.",
                "查看同一模型的 WatchkeeperEngineStalled 和加速卡告警；请求被拒时查看 WatchkeeperQueueSaturated。",
            ),
            dashboard="wk-service",
        ),
    ),
    "ttft": _Words(
        "Ttft",
        Text("First token too late", "首 token 过慢"),
        Text("of answers begin too late", "的回答首 token 过慢"),
        Runbook(
            meaning=Text(
                "Users wait too long before an answer begins.",
                "用户要等太久才能看到回答的第一个字。",
            ),
            first=Text(
                "Compare queue time with prefill time. Queue up: capacity, see WatchkeeperQueueSaturated and"
                " WatchkeeperKvCacheSaturated. Prefill up: longer prompts, a lost prefix cache, or a slow device.",
                "比较排队时间和 prefill 时间。排队变长：容量不足，见 WatchkeeperQueueSaturated 和 WatchkeeperKvCacheSaturated。"
                "prefill 变长：提示词变长、前缀缓存失效或有慢卡。",
            ),
            false_alarm=Text(
                "Prompts became longer and nothing is broken: give long prompts an objective of their own. Calls that do"
                " not stream have their first token at their end: engines that cannot tell those apart count them.",
                "提示词整体变长而系统正常：给长提示词单独设目标。非流式请求的首 token 等于整段耗时，"
                "不能区分的引擎会把它们算进来。",
            ),
            next=Text(
                "Input tokens, prefix-cache hit ratio and queue time on the dashboard; WatchkeeperDeviceStraggler.",
                "看板上的输入 token 数、前缀缓存命中率、排队时间；以及 WatchkeeperDeviceStraggler。",
            ),
            dashboard="wk-service",
        ),
    ),
    "tpot": _Words(
        "Tpot",
        Text("Answers write too slowly", "输出 token 过慢"),
        Text("of answers write too slowly", "的回答输出过慢"),
        Runbook(
            meaning=Text(
                "Answers begin in time and then crawl.",
                "回答按时开始，但之后一字一顿。",
            ),
            first=Text(
                "Look at running requests and KV cache: a batch too large is the usual cause; lower the maximum of"
                " concurrent sequences or add a replica. Batch as always: look for throttling and a slow device.",
                "看运行中请求数和 KV 缓存：批次过大是最常见的原因，降低最大并发序列数或加副本。"
                "批次没变：查看降频和慢卡。",
            ),
            false_alarm=Text(
                "Very long contexts are slower per token. Speculative decoding that accepts less after a model change.",
                "超长上下文每个 token 本来就更慢；换模型后投机解码接受率下降。",
            ),
            next=Text(
                "WatchkeeperDeviceThermalThrottle, WatchkeeperDevicePowerBrake and WatchkeeperDeviceStraggler on the"
                " nodes of this model.",
                "该模型所在节点上的 WatchkeeperDeviceThermalThrottle、WatchkeeperDevicePowerBrake、WatchkeeperDeviceStraggler。",
            ),
            dashboard="wk-service",
        ),
    ),
}


def _calls(ok: int, error: int, steps: int = 40, **labels: str) -> tuple[tuple[str, str], ...]:
    who = CHAT | labels
    return (
        given(requests.REQUESTS, f"0+{ok}x{steps}", outcome="ok", **who),
        given(requests.REQUESTS, f"0+{error}x{steps}", outcome="error", **who),
        given(requests.REQUESTS, f"0x{steps}", outcome="timeout", **who),
        given(requests.REQUESTS, f"0x{steps}", outcome="rejected", **who),
    )


def _fired(slo: str, value: str, since: float = 60) -> tuple[Fired, ...]:
    labels = {**CHAT, "slo": slo}
    return (
        *fires("critical", labels | {"sli": _SLI_OF[slo]}, value, since),
        *fires("warning", labels | {"sli": _SLI_OF[slo]}, value, since),
    )


_SLI_OF: Final = {"availability": "availability", "first-token": "ttft", "output-token": "tpot"}
_FIRST, _PACE = requests.SERVER_FIRST_TOKEN, requests.SERVER_PER_TOKEN
_CASES: Final[dict[str, tuple[Case, ...]]] = {
    "availability": (
        case("a fifth of all requests fail", "30m", *_calls(80, 20), fires=_fired("availability", "20%")),
        case("failures within the objective", "30m", *_calls(1000, 3)),
        case("one failure among three requests in an hour", "30m", *_calls(0, 0), given(
            requests.REQUESTS, "0x10 1x30", outcome="error", **CHAT | {"service_name": "seldom"}
        ), given(requests.REQUESTS, "0x10 2x30", outcome="ok", **CHAT | {"service_name": "seldom"})),
        case("clients that cancel", "30m", *_calls(100, 0), given(requests.REQUESTS, "0+90x40", outcome="cancelled", **CHAT)),
        case("no traffic", "30m", *_calls(0, 0)),
    ),
    "ttft": (
        case(
            "all answers begin late", "30m", *_calls(60, 0),
            *timed(_FIRST, 2.5, 0, 60, 40, watchkeeper_vantage="page", **CHAT), fires=_fired("first-token", "100%"),
        ),
        case(
            "an engine's page alone, with no requests counted", "30m",
            *timed(_FIRST, 2.5, 0, 60, 40, watchkeeper_vantage="page", **CHAT), fires=_fired("first-token", "100%"),
        ),
        case(
            "the engine says in time, the far client says late: the engine is believed", "30m", *_calls(60, 0),
            *timed(_FIRST, 2.5, 60, 0, 40, watchkeeper_vantage="page", **CHAT),
            *timed(_FIRST, 2.5, 0, 60, 40, watchkeeper_vantage="client", **CHAT),
        ),
        case(
            "answers that are not streamed", "30m", *_calls(60, 0),
            *timed(_FIRST, 2.5, 0, 60, 40, watchkeeper_vantage="page", gen_ai_request_stream="false", **CHAT),
        ),
    ),
    "tpot": (
        case(
            "all answers crawl", "30m", *_calls(60, 0),
            *timed(_PACE, 0.1, 0, 60, 40, watchkeeper_vantage="tap", **CHAT), fires=_fired("output-token", "100%"),
        ),
        case(
            "four of a hundred crawl", "30m", *_calls(100, 0),
            *timed(_PACE, 0.1, 96, 4, 40, watchkeeper_vantage="tap", **CHAT),
        ),
    ),
}  # fmt: skip


def _exhausted(values: Values, scope: Scope) -> Alert:
    days = f"{values.budget_days:g}"
    return Alert(
        name="WatchkeeperErrorBudgetExhausted",
        area="slo",
        rules=(Rule("warning", f"{r(BUDGET_LEFT)} < 0", "10m"),),
        labels=(*scope.segment, "slo"),
        title=Text("Error budget is used up", "错误预算已用尽"),
        summary=Text(
            f"{OF_SEGMENT.en}: {{value}} of the budget left since {{since}}",
            f"{OF_SEGMENT.zh}：剩余错误预算 {{value}}，自 {{since}}",
        ),
        detail=Text(
            f"Objective {{slo}} was missed over the last {days} days.", f"最近 {days} 天未达到目标 {{slo}}。"
        ),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text(
                "More requests were bad than the objective allows for the whole window. Nothing need be wrong right now.",
                "整个窗口内的坏请求已超过目标允许的数量，此刻不一定有故障。",
            ),
            first=Text(
                "Tell the service's owner and apply the change freeze that was agreed on.",
                "通知服务负责人，执行约定的变更冻结。",
            ),
            false_alarm=Text(
                "An objective that was never met: compare with the weeks before and settle on an honest one.",
                "目标从未达到过：与前几周比较，定一个实际可行的目标。",
            ),
            next=Text("Which days spent it: bad events on the dashboard.", "看板上的坏事件：是哪几天消耗的。"),
            dashboard="wk-slo",
        ),
        cases=(
            case(
                "one in fifty fails for hours", "40m", *_calls(98, 2),
                fires=fires("warning", CHAT | {"slo": "availability", "sli": "availability"}, "-300%", 60),
            ),
            case("one in five hundred fails for hours", "40m", *_calls(998, 2)),
        ),
    )  # fmt: skip


def _absent(values: Values, scope: Scope) -> Alert:
    by = listed(scope.segment)
    seen = f"group by ({by}) (last_over_time({m(requests.REQUESTS)['1d']}))"
    stated = [
        f'label_replace(label_replace(label_replace(vector(1), "{NAMESPACE}", "{one.namespace}", "", ""),'
        f' "{SERVICE}", "{one.service}", "", ""), "{MODEL}", "{one.model}", "", "")'
        for one in values.expected
    ]
    return Alert(
        name="WatchkeeperSliAbsent",
        area="slo",
        rules=(Rule("warning", "\nor\n".join((seen, *stated)) + f"\nunless on ({by})\n"
                    f"group by ({by}) ({m(requests.REQUESTS)})", "30m"),),
        labels=scope.segment,
        title=Text("A service is not seen any more", "服务数据消失"),
        summary=Text(f"{OF_SEGMENT.en}: no request counter since {{since}}", f"{OF_SEGMENT.zh}：自 {{since}} 起没有请求计数"),
        detail=Text(
            "It was seen within the last day, or is expected. Without its counter no objective of it can fire.",
            "它在一天内出现过，或在期望列表中。没有计数器，它的任何目标都不会告警。",
        ),
        runbook=Runbook(
            meaning=Text(
                "The series of this service are gone: not idle (an idle service keeps its counter) but unseen.",
                "该服务的序列消失了：不是空闲（空闲时计数器仍在），而是看不到了。",
            ),
            first=Text(
                "Is its watchkeeper (sidecar, gateway) still scraped? Then: did namespace, service or model name change?",
                "先看它的 watchkeeper（sidecar、gateway）是否仍被抓取；再看命名空间、服务名或模型名是否改了。",
            ),
            false_alarm=Text(
                "The service was removed, renamed or scaled to zero on purpose. It ends by itself after a day.",
                "服务被有意下线、改名或缩容到零。一天后自动恢复。",
            ),
            next=Text("WatchkeeperAgentDown; `up` of the job on the dashboard.", "WatchkeeperAgentDown；看板上该 job 的 `up`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case(
                "the counter ends", "60m",
                given(requests.REQUESTS, "0+5x15", outcome="ok", **CHAT), fires=fires("warning", CHAT, "1", 1260),
            ),
            case("a quiet night", "60m", given(requests.REQUESTS, "0+5x15 80x60", outcome="ok", **CHAT)),
        ),
    )  # fmt: skip
