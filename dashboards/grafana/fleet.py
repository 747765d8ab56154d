"""Fleet overview: is anything paging, which service or node, how much headroom."""

from dashboards.alert import Text
from dashboards.alerts.slo import BUDGET_LEFT, error_ratio
from dashboards.grafana.board import (
    GREEN,
    GREY,
    ORANGE,
    RED,
    YELLOW,
    Board,
    Query,
    Row,
    falling,
    lines,
    rising,
    stat,
    table,
    timeline,
)  # fmt: skip
from dashboards.grafana.narrow import C_SEGMENT, FIRING, SEGMENT, TO_SERVICE, Narrow, to_node
from dashboards.promql import ALERTS
from dashboards.values import Values
from watchkeeper.core.vocabulary import devices, engines, requests

OUTCOMES = (("ok", GREEN), ("error", RED), ("timeout", ORANGE), ("rejected", YELLOW), ("cancelled", GREY),
            ("client_error", "purple"))  # fmt: skip
_WHO = SEGMENT


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-fleet",
        title=Text("Fleet overview", "集群总览"),
        about=Text("Is anything paging, which service or node is it, how much room is left?",
                   "是否有紧急告警，是哪个服务或节点，还剩多少余量？"),
        variables=narrow.variables(*_WHO),
        events=narrow.events("pages", "versions", "findings"),
        rows=(_summary(narrow), _services(narrow), _trends(narrow)),
        since="now-6h",
        refresh="30s",
    )  # fmt: skip


def _summary(narrow: Narrow) -> Row:
    firing = f'{ALERTS}{{component="watchkeeper",severity="critical",alertstate="firing"}}'
    left = narrow.r(BUDGET_LEFT, _WHO)
    output = narrow.rate(engines.TOKENS, _WHO, "", gen_ai_token_type="output")
    return Row(Text("Summary", "摘要"), (
        stat(Text("Pages", "紧急告警"),
             Text("Alerts firing that page somebody. Good: 0.", "正在触发的紧急告警数。正常：0。"),
             f"count({firing}) or vector(0)", "none", rising(1)),
        stat(Text("Objectives with budget left", "预算未耗尽的目标"),
             Text("Share of objectives whose error budget is not used up. Good: 100 %.",
                  "错误预算未耗尽的目标占比。正常：100%。"),
             f"count({left} >= 0) / count({left})", "percentunit", falling(1, 0.9)),
        stat(Text("Requests", "请求速率"),
             Text("Finished model calls a second. Good: as this hour usually is; a fall to 0 is an outage or a broken"
                  " data link.", "每秒完成的模型调用。正常：与往常同一时段相近；归零说明中断或数据链路故障。"),
             narrow.rate(requests.REQUESTS, _WHO, ""), "reqps"),
        stat(Text("Output tokens", "输出 token 速率"),
             Text("Output tokens a second of the engines. Good: it follows the requests.",
                  "推理引擎每秒输出 token。正常：与请求同步变化。"),
             output, "cps"),
        stat(Text("Devices read", "可读加速卡"),
             Text("Share of accelerators that were read at the last try. Good: 100 %.",
                  "上次读取成功的加速卡占比。正常：100%。"),
             f"sum(max by ({narrow.card}) ({narrow.m(devices.UP, ())})) / "
             f"count(max by ({narrow.card}) ({narrow.m(devices.UP, ())}))", "percentunit", falling(1)),
        stat(Text("Device power", "加速卡总功率"),
             Text("Power of all accelerators, hosts and cooling not counted. Good: it follows the tokens.",
                  "全部加速卡功率，不含主机与散热。正常：与 token 速率同步。"),
             f"sum(max by ({narrow.card}) ({narrow.m(devices.POWER, ())}))", "watt"),
    ))  # fmt: skip


def _services(narrow: Narrow) -> Row:
    by = narrow.segment
    budget = falling(0.25, 0)
    return Row(Text("Services", "服务"), (
        table(
            Text("Services and models", "服务与模型"),
            Text("One row for a service and model; follow the name. Good: no red. Latencies are from the best vantage"
                 " there is: engine, its page, the pass-through, the caller.",
                 "每行一个服务与模型，点击名称进入。正常：没有红色。时延取自最佳观测点：引擎、指标页、旁路、调用方。"),
            C_SEGMENT,
            Query(narrow.rate(requests.REQUESTS, _WHO, by), Text("Requests", "请求"), unit="reqps"),
            Query(f"sum by ({by}) ({narrow.r(error_ratio('1h'), _WHO, sli='availability')})",
                  Text("Errors 1h", "1 小时错误率"), unit="percentunit", steps=rising(0.005, 0.05)),
            Query(narrow.nearest(0.95, requests.SERVER_FIRST_TOKEN, _WHO, by, "15m"),
                  Text("First token p95", "首 token P95"), unit="s"),
            Query(narrow.nearest(0.95, requests.SERVER_PER_TOKEN, _WHO, by, "15m"),
                  Text("Time per token p95", "每 token 时间 P95"), unit="s"),
            Query(f"min by ({by}) ({narrow.r(BUDGET_LEFT, _WHO)})", Text("Budget left", "剩余预算"),
                  unit="percentunit", steps=budget),
            Query(f"max by ({by}) ({narrow.m(engines.KV_CACHE, _WHO)})", Text("KV cache", "KV 缓存"),
                  unit="percentunit", steps=rising(0.9, 0.98), bar=True),
            height=6, sort=Text("Requests", "请求"), jump=TO_SERVICE,
        ),
    ))  # fmt: skip


def _trends(narrow: Narrow) -> Row:
    alerts = f'{ALERTS}{{component="watchkeeper",severity=~"critical|warning",alertstate="firing"}}'
    busy = f"max by ({narrow.card}) ({narrow.m(devices.UTILIZATION, ())})"
    hottest = f"max by ({narrow.by(narrow.node)}) ({narrow.m(devices.TEMPERATURE, (), hw_sensor_location='chip')})"
    return Row(Text("Alerts and trends", "告警与趋势"), (
        timeline(Text("Alerts", "告警时间线"),
                 Text("When which alert fired: pages and tickets. Good: empty.", "各告警触发的时段。正常：空。"),
                 f"max by (alertname, severity) ({alerts})", "{{alertname}} ({{severity}})",
                 FIRING, width=24, height=7),
        lines(Text("Requests by outcome", "按结果分的请求"),
              Text("Good: almost all ok. Cancelled and client errors are the clients' own.",
                   "正常：绝大多数为 ok。cancelled 与 client_error 由客户端造成。"),
              "reqps", Query(narrow.rate(requests.REQUESTS, _WHO, "outcome"), "{{outcome}}"),
              stacked=True, colors=OUTCOMES),
        lines(Text("Device utilisation", "加速卡利用率"),
              Text("The least, the middle and the busiest tenth of devices. Good: close together; a wide gap is"
                   " traffic that is spread badly, or idle devices.",
                   "最闲 10%、中位和最忙 10% 的卡。正常：三线接近；差距大说明分配不均或有卡闲置。"),
              "percentunit", *(Query(f"quantile({share}, {busy})", f"p{share * 100:.0f}") for share in (0.1, 0.5, 0.9)),
              high=1),
        lines(Text("Hottest device of each node", "各节点最热的卡"),
              Text("Good: flat, below the slowdown temperature (see the node).",
                   "正常：平稳，低于降频温度（见节点看板）。"),
              "celsius", Query(hottest, f"{{{{{narrow.node}}}}}"), low=None,
              jump=to_node(narrow)),
    ))  # fmt: skip
