"""Engines that have more to do than they can: tickets, except for one that has stopped working."""

from typing import Final

from dashboards.alert import COUNT, PERCENT, Alert, Rule, Runbook, Text
from dashboards.cases import CHAT, case, fires, given, timed
from dashboards.promql import m
from dashboards.scope import OF_SEGMENT, POD, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.vocabulary import engines, signals, tap

_REPLICA: Final = {**CHAT, "k8s_pod_name": "chat-0"}


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    return (
        _queue(scope, values), _kv_cache(scope, values), _preemptions(scope, values), _stalled(scope),
        _unusual(scope), _refusing(scope),
    )  # fmt: skip


def _queue(scope: Scope, values: Values) -> Alert:
    by = listed(scope.segment)
    waiting = f"sum by ({by}) (avg_over_time({m(engines.WAITING)['10m']}))"
    running = f"sum by ({by}) (avg_over_time({m(engines.RUNNING)['10m']}))"
    p95 = f"histogram_quantile(0.95, sum by ({listed((*scope.segment, 'le'))}) (rate({m(engines.QUEUE_TIME, 'bucket')['10m']})))"
    limits = values.thresholds
    expr = (
        f"{waiting} > {limits.queue_share:g} * {running}\nand\n{waiting} > 0\n"
        f"unless on ({by})\n{p95} <= {limits.queue_seconds:g}"
    )
    return Alert(
        name="WatchkeeperQueueSaturated",
        area="saturation",
        rules=(Rule("warning", expr, "10m"),),
        labels=scope.segment,
        title=Text("Requests queue up", "请求排队饱和"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} requests wait since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 个请求在排队，自 {{since}}"),
        detail=Text(
            f"More than {limits.queue_share:.0%} of those running wait, and 95 % wait up to more than {limits.queue_seconds:g} s where the engine tells.",
            f"排队数超过运行数的 {limits.queue_share:.0%}；引擎提供排队时间时，P95 超过 {limits.queue_seconds:g} 秒。",
        ),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("More requests arrive than the replicas can take. First tokens come late soon, if not now.", "到达的请求超过副本处理能力，首 token 即将变慢。"),
            first=Text("Compare arrivals with last week and count the ready replicas. Scale out, or refuse the lowest tier.", "与上周到达量比较，数一数就绪副本；扩容，或拒绝最低优先级。"),
            false_alarm=Text("Batch services that queue on purpose: leave them out by `leave_out` or a silence. A cold start after scaling to zero.", "有意排队的离线服务：用 `leave_out` 或静默排除；缩容到零后的冷启动。"),
            next=Text("Running, waiting and queue time by pod; one pod alone: WatchkeeperEngineStalled.", "按 Pod 看运行、等待和排队时间；只有一个 Pod：WatchkeeperEngineStalled。"),
            dashboard="wk-service",
        ),
        cases=(
            case("a queue that waits seconds", "30m", given(engines.RUNNING, "8x40", **_REPLICA), given(engines.WAITING, "0x5 12x40", **_REPLICA),
                 *timed(engines.QUEUE_TIME, 1.28, 2, 50, 40, **_REPLICA), fires=fires("warning", CHAT, "12", 420)),
            case("an engine that does not tell queue time", "30m", given(engines.RUNNING, "8x40", **_REPLICA), given(engines.WAITING, "0x5 12x40", **_REPLICA),
                 fires=fires("warning", CHAT, "12", 420)),
            case("many wait, none for long", "30m", given(engines.RUNNING, "8x40", **_REPLICA), given(engines.WAITING, "12x40", **_REPLICA),
                 *timed(engines.QUEUE_TIME, 0.64, 50, 0, 40, **_REPLICA)),
        ),
    )  # fmt: skip


def _kv_cache(scope: Scope, values: Values) -> Alert:
    by = listed(scope.segment)
    used = (
        f"max by ({by}) (avg_over_time({m(engines.KV_CACHE_MAX)['10m']}))\nor\n"
        f"max by ({by}) (avg_over_time({m(engines.KV_CACHE)['10m']}))"
    )
    waiting = f"sum by ({by}) (avg_over_time({m(engines.WAITING)['10m']})) > 0"
    share = values.thresholds.kv_cache_share
    return Alert(
        name="WatchkeeperKvCacheSaturated",
        area="saturation",
        rules=(Rule("warning", f"(\n{used}\n) > {share:g}\nand on ({by})\n{waiting}", "10m"),),
        labels=scope.segment,
        title=Text("KV cache is full while requests wait", "KV 缓存饱和"),
        summary=Text(f"{OF_SEGMENT.en}: KV cache {{value}} full with a queue since {{since}}", f"{OF_SEGMENT.zh}：KV 缓存占用 {{value}} 且有排队，自 {{since}}"),
        detail=Text("The fullest replica. New requests wait until others end.", "取最满的副本。新请求要等其他请求结束。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("There is no room for the context of more requests.", "没有空间容纳更多请求的上下文。"),
            first=Text("Look for one tenant with very long contexts and cap it; else add a replica.", "找出上下文特别长的租户并限制；否则加副本。"),
            false_alarm=Text("A full cache without a queue is what paged attention is for, and does not come here.", "缓存满但没有排队是分页注意力的正常状态，不会告警。"),
            next=Text("Input lengths, preemptions and prefix hits of the same time.", "同一时段的输入长度、抢占次数、前缀命中。"),
            dashboard="wk-service",
        ),
        cases=(
            case("full with a queue", "30m", given(engines.KV_CACHE, "0.5x5 0.99x40", **_REPLICA), given(engines.WAITING, "3x40", **_REPLICA),
                 fires=fires("warning", CHAT, "99%", 960)),
            case("one rank full", "30m", given(engines.KV_CACHE, "0.5x40", **_REPLICA), given(engines.KV_CACHE_MAX, "0.98x40", **_REPLICA),
                 given(engines.WAITING, "3x40", **_REPLICA), fires=fires("warning", CHAT, "98%", 0)),
            case("full without a queue", "30m", given(engines.KV_CACHE, "0.99x40", **_REPLICA), given(engines.WAITING, "0x40", **_REPLICA)),
        ),
    )  # fmt: skip


def _preemptions(scope: Scope, values: Values) -> Alert:
    by = listed(scope.segment)
    expr = (
        f"sum by ({by}) (rate({m(engines.PREEMPTIONS)['10m']}))\n/\n"
        f"(sum by ({by}) (rate({m(engines.FINISHED)['10m']})) > 0)\n> {values.thresholds.preemption_share:g}"
    )
    return Alert(
        name="WatchkeeperPreemptionStorm",
        area="saturation",
        rules=(Rule("warning", expr, "10m"),),
        labels=scope.segment,
        title=Text("Requests push each other out", "抢占风暴"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} preemptions per finished request since {{since}}", f"{OF_SEGMENT.zh}：每个完成请求 {{value}} 次抢占，自 {{since}}"),
        detail=Text("What is pushed out is computed again: latency and cost rise together.", "被抢占的请求要重算：时延和成本一起上升。"),
        runbook=Runbook(
            meaning=Text("The engine took on more than its KV cache holds and throws work away.", "引擎接纳的请求超过 KV 缓存容量，正在丢弃已做的计算。"),
            first=Text("Lower the maximum of concurrent sequences or raise the memory share of the KV cache; then scale.", "降低最大并发序列数或提高 KV 显存比例，再扩容。"),
            false_alarm=Text("A few requests with giant contexts; the minutes after a replica restarted.", "少数超长上下文请求；副本重启后的几分钟。"),
            next=Text("KV cache and input lengths; WatchkeeperKvCacheSaturated.", "KV 缓存与输入长度；WatchkeeperKvCacheSaturated。"),
            dashboard="wk-service",
        ),
        cases=(
            case("one in two", "30m", given(engines.PREEMPTIONS, "0+30x40", **_REPLICA), given(engines.FINISHED, "0+60x40", **_REPLICA),
                 fires=fires("warning", CHAT, "0.5", 60)),
            case("one in a hundred", "30m", given(engines.PREEMPTIONS, "0+1x40", **_REPLICA), given(engines.FINISHED, "0+100x40", **_REPLICA)),
        ),
    )  # fmt: skip


def _stalled(scope: Scope) -> Alert:
    by = listed(scope.engine)
    expr = (
        f"(\n  sum by ({by}) (min_over_time({m(engines.RUNNING)['5m']})) > 0\n  and on ({by})\n"
        f"  sum by ({by}) (rate({m(engines.TOKENS)['5m']})) == 0\n)\n"
        f"or\nmax by ({by}) ({m(signals.STATE, signal='stuck')}) == 2"
    )
    return Alert(
        name="WatchkeeperEngineStalled",
        area="saturation",
        rules=(Rule("critical", expr, "2m"),),
        labels=scope.engine,
        title=Text("An engine has stopped working", "推理引擎停滞"),
        summary=Text(f"{OF_SEGMENT.en}: pod {{{POD}}} has requests and makes no token since {{since}}", f"{OF_SEGMENT.zh}：Pod {{{POD}}} 有请求但不产出 token，自 {{since}}"),
        detail=Text("Whoever is sent to this replica waits until the timeout.", "分到该副本的用户会一直等到超时。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Requests run on this replica and not one token came for minutes: it hangs.", "该副本有请求在跑，但数分钟没有任何 token：已卡死。"),
            first=Text("Take the pod out of rotation, keep its log and a stack dump (`py-spy dump`), then delete it.", "摘除该 Pod，保留日志和堆栈（`py-spy dump`），然后删除它。"),
            false_alarm=Text("A single very long prefill. Engines that count tokens only when a request ends.", "单个超长 prefill；只在请求结束时才计 token 的引擎。"),
            next=Text("The devices of the pod: a collective that hangs is the usual cause (WatchkeeperDeviceFaultLink).", "该 Pod 的卡：集合通信挂死是常见原因（WatchkeeperDeviceFaultLink）。"),
            dashboard="wk-service",
        ),
        cases=(
            case("requests and no tokens", "20m", given(engines.RUNNING, "3x30", **_REPLICA), given(engines.TOKENS, "0+900x5 4500x30", gen_ai_token_type="output", **_REPLICA),
                 fires=fires("critical", _REPLICA, "3", 600)),
            case("the signal says so", "20m", given(signals.STATE, "0x5 2x30", signal="stuck", **_REPLICA), fires=fires("critical", _REPLICA, "2", 360)),
            case("a long prefill that works", "20m", given(engines.RUNNING, "1x30", **_REPLICA), given(engines.TOKENS, "0+9000x30", gen_ai_token_type="input", **_REPLICA),
                 given(engines.TOKENS, "7x30", gen_ai_token_type="output", **_REPLICA)),
            case("idle", "20m", given(engines.RUNNING, "0x30", **_REPLICA), given(engines.TOKENS, "9x30", gen_ai_token_type="output", **_REPLICA)),
        ),
    )  # fmt: skip


def _unusual(scope: Scope) -> Alert:
    labels = (*scope.engine, "signal", "objective", "series")
    by = listed(labels)
    said = (
        f"max by ({by}) ({m(signals.STATE, signal='share_over')}) == 2",
        f"max by ({by}) ({m(signals.STATE, signal='tail')}) >= 1",
        f"max by ({by}) ({m(signals.STATE, signal='stuck')}) == 1",
    )
    expr = "\nor\n".join(said)
    return Alert(
        name="WatchkeeperServiceUnusual",
        area="saturation",
        rules=(Rule("warning", expr, "5m"),),
        labels=labels,
        title=Text("A service behaves as it never did", "服务表现异常"),
        summary=Text(f"{OF_SEGMENT.en}: signal {{signal}} alarms since {{since}}", f"{OF_SEGMENT.zh}：信号 {{signal}} 报警，自 {{since}}"),
        detail=Text("share_over: more slow or failed calls than objective {objective} allows. tail: {series} is far outside of what it was. stuck: behind all its peers.", "share_over：慢或失败的调用超过目标 {objective}；tail：{series} 远超以往范围；stuck：落后于所有同伴。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("A signal of watchkeeper left its band; users may not feel it yet, else a budget alert comes too.", "watchkeeper 的信号越界；用户可能还没感觉，若有感觉会同时出现预算告警。"),
            first=Text("Read the finding on watchkeeper's page: since when, by how much, and its three probable causes.", "看 watchkeeper 页面上的发现：何时开始、幅度、三个可能原因。"),
            false_alarm=Text("A load test; the first traffic of a new service.", "压测；新服务的第一波流量。"),
            next=Text("The series that the finding names, an hour around its begin.", "发现中点名的序列，取开始前后一小时。"),
            dashboard="wk-service",
        ),
        cases=(
            case("tail", "15m", given(signals.STATE, "0x2 1x20", signal="tail", series="queue", **CHAT), fires=fires("warning", CHAT | {"signal": "tail", "series": "queue"}, "1", 180)),
            case("a warning only", "15m", given(signals.STATE, "1x20", signal="share_over", **CHAT)),
        ),
    )  # fmt: skip


def _refusing(scope: Scope) -> Alert:
    labels = (*scope.extra, "service_name")
    return Alert(
        name="WatchkeeperTapRefusing",
        area="saturation",
        rules=(Rule("critical", f"sum by ({listed(labels)}) (rate({m(tap.REFUSED)['5m']})) > 0.1", "2m"),),
        labels=labels,
        title=Text("The pass-through turns clients away", "旁路代理拒绝连接"),
        summary=Text("{service_name}: {value} connections a second are turned away since {since}", "{service_name}：每秒拒绝 {value} 个连接，自 {since}"),
        detail=Text("They are answered 503 before they are measured: no objective shows them.", "这些连接在计量之前就收到 503：任何目标都看不到它们。"),
        runbook=Runbook(
            meaning=Text("watchkeeper itself stands between users and the engine, and is out of connections.", "watchkeeper 自身挡在用户和引擎之间，连接已耗尽。"),
            first=Text("Raise `max_connections` and the limit of open files of the pod, or route around the tap now.", "调高 `max_connections` 和 Pod 的打开文件上限，或立即绕过旁路。"),
            false_alarm=Text("A connection leak in one client: `watchkeeper_tap_connections` rises without requests.", "某个客户端泄漏连接：`watchkeeper_tap_connections` 上升但请求不增。"),
            next=Text("`watchkeeper_tap_connections` and the log of the pod.", "`watchkeeper_tap_connections` 和该 Pod 的日志。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("turned away", "10m", given(tap.REFUSED, "0+60x20", service_name="chat"), fires=fires("critical", {"service_name": "chat"}, "1", 60)),
            case("one at a restart", "10m", given(tap.REFUSED, "0x2 1x20", service_name="chat")),
        ),
    )  # fmt: skip
