"""Model service: which symptom, is it load, the shape of the work, one replica, or the device."""

from dashboards.alert import Text
from dashboards.alerts.slo import VANTAGES
from dashboards.grafana.board import Board, Query, Row, heat, lines, stat, table, timeline
from dashboards.grafana.fleet import OUTCOMES
from dashboards.grafana.narrow import (
    C_CARD,
    C_DEVICE,
    C_POD,
    ENGINE,
    RATE,
    SEGMENT,
    STATES,
    YES,
    Narrow,
    to_node,
)  # fmt: skip
from dashboards.promql import like, one_of
from dashboards.scope import MODEL, NAMESPACE, POD, SERVICE
from dashboards.values import Values
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import devices, engines, requests, signals

_SEEN = one_of(*VANTAGES)


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-service",
        title=Text("Model service", "模型服务"),
        about=Text("Which symptom, and is it load, the shape of the work, one replica, or a device?",
                   "症状是什么，原因是负载、请求形态、单个副本还是加速卡？"),
        variables=narrow.variables(*ENGINE),
        events=narrow.events("versions", "findings", "pages"),
        rows=(_summary(narrow), _symptoms(narrow), _saturation(narrow), _shape(narrow), _replicas(narrow)),
        since="now-3h",
        refresh="30s",
    )  # fmt: skip


def _summary(narrow: Narrow) -> Row:
    asked = narrow.rate(requests.REQUESTS, ENGINE, "")
    failed = narrow.rate(requests.REQUESTS, ENGINE, "", outcome=one_of("error", "timeout", "rejected"))
    return Row(Text("Summary", "摘要"), (
        stat(Text("Requests", "请求速率"), Text("Good: as usual at this hour.", "正常：与往常同一时段相近。"), asked, "reqps"),
        stat(Text("Failed", "失败率"),
             Text("Errors, timeouts and rejections over all requests. Good: below what the objective allows.",
                  "错误、超时与拒绝占比。正常：低于目标允许值。"),
             f"{failed} / {asked}", "percentunit", ((None, "green"), (_allowed(narrow.values), "red")), decimals=2),
        stat(Text("Replicas up", "在线副本"), Text("Engines whose page answers. Good: as many as deployed.",
             "指标页可读的引擎数。正常：等于部署数。"),
             f"sum(max by ({narrow.by(NAMESPACE, SERVICE, MODEL, POD)}) ({narrow.m(engines.ENGINE_UP, ENGINE)}))",
             "none"),
        stat(Text("Waiting", "等待中"), Text("Requests in engines' queues. Good: 0, or a few for moments.",
             "引擎队列中的请求。正常：0 或短暂少量。"),
             f"sum({narrow.m(engines.WAITING, ENGINE)})", "none", ((None, "green"), (1, "yellow"), (50, "red"))),
        stat(Text("Fullest KV cache", "最满 KV 缓存"),
             Text("Good: high is well used; full is trouble only while requests wait.",
                  "正常：高说明利用充分；仅在有请求等待时满才有问题。"),
             f"max({narrow.m(engines.KV_CACHE, ENGINE)})", "percentunit", ((None, "green"), (0.98, "yellow"))),
        stat(Text("Output tokens", "输出 token 速率"), Text("Good: it follows the requests.", "正常：与请求同步。"),
             narrow.rate(engines.TOKENS, ENGINE, "", gen_ai_token_type="output"), "cps"),
    ))  # fmt: skip


def _allowed(values: Values) -> float:
    """Share of failures that the strictest availability objective allows."""
    return round(min((1 - slo.objective for slo in values.slos if slo.sli == "availability"), default=0.005), 6)


def _edges(values: Values, sli: str) -> tuple[tuple[float | None, str], ...]:
    """A line for each objective's bound."""
    bounds = sorted({slo.seconds for slo in values.slos if slo.sli == sli})
    return ((None, "transparent"), *((bound, "red") for bound in bounds)) if bounds else ()


def _percentiles(narrow: Narrow, metric: Metric) -> tuple[Query, ...]:
    return tuple(
        Query(narrow.quantile(share, metric, ENGINE, "watchkeeper_vantage", watchkeeper_vantage=_SEEN),
              f"p{share * 100:.0f} {{{{watchkeeper_vantage}}}}", exemplar=share == 0.95)
        for share in (0.5, 0.95, 0.99)
    )  # fmt: skip


def _symptoms(narrow: Narrow) -> Row:
    return Row(Text("Symptoms", "症状"), (
        lines(Text("Requests by outcome", "按结果分的请求"), Text("Good: almost all ok.", "正常：绝大多数为 ok。"),
              "reqps", Query(narrow.rate(requests.REQUESTS, ENGINE, "outcome"), "{{outcome}}"), stacked=True,
              colors=OUTCOMES, width=12),
        lines(Text("Time to first token", "首 token 时间"),
              Text("Queue and prefill. Good: p95 below the objective's line. Each vantage apart; points are traces.",
                   "排队加预填充。正常：P95 低于目标线。各观测点分开；圆点为追踪样例。"),
              "s", *_percentiles(narrow, requests.SERVER_FIRST_TOKEN), steps=_edges(narrow.values, "ttft"), width=12),
        lines(Text("Time per output token", "每输出 token 时间"),
              Text("How fast answers are written. Good: p95 below the objective's line; it rises with the batch.",
                   "输出速度。正常：P95 低于目标线；随批大小上升。"),
              "s", *_percentiles(narrow, requests.SERVER_PER_TOKEN), steps=_edges(narrow.values, "tpot"), width=12),
        lines(Text("Whole request", "端到端时延"),
              Text("Depends on how long answers are: read it with the output lengths. Good: steady at steady lengths.",
                   "取决于回答长度，请与输出长度同看。正常：长度稳定时保持稳定。"),
              "s", *_percentiles(narrow, requests.SERVER_DURATION), width=12),
    ))  # fmt: skip


def _saturation(narrow: Narrow) -> Row:
    return Row(Text("Saturation", "饱和"), (
        lines(Text("Running and waiting", "运行与等待"),
              Text("Good: nothing waits. Waiting beside few running is an engine that does not admit.",
                   "正常：无等待。运行少而等待多说明引擎不再接纳请求。"),
              "short", Query(f"sum({narrow.m(engines.RUNNING, ENGINE)})", Text("running", "运行")),
              Query(f"sum({narrow.m(engines.WAITING, ENGINE)})", Text("waiting", "等待")), width=6),
        lines(Text("KV cache", "KV 缓存"),
              Text("By replica. Good: even over replicas; full only when nothing waits.",
                   "按副本。正常：各副本均衡；满时无等待。"),
              "percentunit", Query(f"max by ({POD}) ({narrow.m(engines.KV_CACHE, ENGINE)})", "{{k8s_pod_name}}"),
              high=1, steps=((None, "transparent"), (0.95, "yellow")), width=6),
        lines(Text("Queue time p95", "排队时间 P95"), Text("Good: near 0, below 1 s.", "正常：接近 0，低于 1 秒。"),
              "s", Query(narrow.quantile(0.95, engines.QUEUE_TIME, ENGINE, POD), "{{k8s_pod_name}}"),
              steps=((None, "transparent"), (narrow.values.thresholds.queue_seconds, "yellow")), width=6),
        lines(Text("Preemptions", "抢占"),
              Text("Requests pushed out of the batch to make room; their work is done twice. Good: 0.",
                   "被挤出批次的请求，工作要重做。正常：0。"),
              "cps", Query(narrow.rate(engines.PREEMPTIONS, ENGINE, POD), "{{k8s_pod_name}}"), width=6),
    ))  # fmt: skip


def _shape(narrow: Narrow) -> Row:
    def lengths(kind: str) -> str:
        seen = narrow.m(
            requests.CLIENT_TOKEN_USAGE, ENGINE, "bucket", gen_ai_token_type=kind, watchkeeper_vantage=_SEEN
        )
        return f"sum by (le) (increase({seen[RATE]}))"

    hits = narrow.rate(engines.PREFIX_HITS, ENGINE, POD)
    asked = narrow.rate(engines.PREFIX_QUERIES, ENGINE, POD)
    return Row(Text("Shape of the work", "负载形态"), (
        heat(Text("Input tokens of a request", "单请求输入长度"),
             Text("Good: the same bands day by day. A new band above is an application that sends more.",
                  "正常：每日分布相同。上方出现新带说明有应用发送更长输入。"), lengths("input"), "short", width=6),
        heat(Text("Output tokens of a request", "单请求输出长度"),
             Text("Good: the same bands. A bright line at the top is answers that run to their limit.",
                  "正常：分布不变。顶部亮线说明回答跑到上限。"), lengths("output"), "short", width=6),
        lines(Text("Prefix cache hits", "前缀缓存命中率"),
              Text("Share of prompt found in the cache. Good: steady; a fall makes first tokens late.",
                   "提示词命中缓存的比例。正常：稳定；下降会推迟首 token。"),
              "percentunit", Query(f"{hits} / ({asked} > 0)", "{{k8s_pod_name}}"), high=1, width=6),
        lines(Text("Finish reasons", "结束原因"),
              Text("Good: mostly stop. More `length` is answers cut short, or loops.",
                   "正常：以 stop 为主。length 增多说明截断或循环。"),
              "cps", Query(narrow.rate(engines.FINISHED, ENGINE, "gen_ai_response_finish_reason"),
                           "{{gen_ai_response_finish_reason}}"), stacked=True, width=6),
    ))  # fmt: skip


def _replicas(narrow: Narrow) -> Row:
    pods = narrow.by(NAMESPACE, POD)
    engine = f"group by ({narrow.by(NAMESPACE, SERVICE, MODEL, POD)}) ({narrow.m(engines.ENGINE_UP, ENGINE)})"
    card = narrow.by(NAMESPACE, POD, narrow.node, "hw_vendor", "hw_name", "hw_id")

    def of_service(metric: Metric, **matchers: str) -> str:
        own = narrow.m(metric, ("namespace", "pod"), **matchers)
        return f"max by ({card}) ({own}) * on ({pods}) group_left ({SERVICE}, {MODEL}) {engine}"

    state = narrow.m(signals.STATE, SEGMENT, signal=like("stuck|share_over|tail"))
    return Row(Text("Replicas and their devices", "副本与加速卡"), (
        lines(Text("First token p95 by replica", "各副本首 token P95"),
              Text("Good: one bundle. One line apart is one bad replica.", "正常：聚成一束。单线偏离说明该副本有问题。"),
              "s", Query(narrow.quantile(0.95, requests.SERVER_FIRST_TOKEN, ENGINE, POD, watchkeeper_vantage="page"),
                         "{{k8s_pod_name}}")),
        lines(Text("Output tokens by replica", "各副本输出 token"), Text("Good: one bundle.", "正常：聚成一束。"),
              "cps", Query(narrow.rate(engines.TOKENS, ENGINE, POD, gen_ai_token_type="output"), "{{k8s_pod_name}}")),
        timeline(Text("Engines up", "引擎在线"), Text("Good: green throughout.", "正常：全程绿色。"),
                 f"max by ({POD}) ({narrow.m(engines.ENGINE_UP, ENGINE)})", "{{k8s_pod_name}}", YES, width=8),
        timeline(Text("Signals of the service", "服务信号"),
                 Text("Objectives missed, engines stuck, series far out of what they were. Good: green.",
                      "未达目标、引擎卡死、序列远离常态。正常：绿色。"),
                 f"max by (signal, objective, series, {POD}) ({state})",
                 "{{signal}} {{objective}}{{series}} {{k8s_pod_name}}", STATES, width=12),
        table(Text("Devices under the service", "服务使用的加速卡"),
              Text("Good: all busy and cool alike; follow one that is not.", "正常：繁忙度与温度相近；点击异常者。"),
              (C_POD, (narrow.node, Text("Node", "节点")), C_CARD, C_DEVICE),
              Query(of_service(devices.UTILIZATION), Text("Busy", "利用率"), unit="percentunit", bar=True),
              Query(of_service(devices.TEMPERATURE, hw_sensor_location="chip"), Text("Heat", "温度"), unit="celsius"),
              Query(of_service(devices.POWER), Text("Power", "功率"), unit="watt"),
              width=12, jump=to_node(narrow), hidden=("hw_vendor", NAMESPACE, SERVICE, MODEL)),
    ))  # fmt: skip
