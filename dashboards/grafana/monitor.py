"""Monitor health: can the other dashboards be trusted right now."""

from dashboards.alert import Text
from dashboards.grafana.board import Board, Query, Row, Shown, falling, lines, rising, stat, table, timeline
from dashboards.grafana.narrow import ENGINE, RATE, SEGMENT, STATES, YES, Narrow
from dashboards.promql import ALERTS, UP, Match, Series, like
from dashboards.scope import POD, SERVICE
from dashboards.values import Values
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import devices, engines, health, signals

_NODE = ("node",)
_LINKS = like("arrival|unreadable|completeness|lateness|schema|duplicates|lag")


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-monitor",
        title=Text("Monitor health", "监控自身健康"),
        about=Text("Can the other dashboards be trusted right now?", "其他看板现在可信吗？"),
        variables=narrow.variables("node", "role", "source", *ENGINE),
        events=narrow.events("pages", "findings"),
        rows=(_up(narrow), _data(narrow), _overhead(narrow)),
        since="now-6h",
        refresh="30s",
    )


def _agents(narrow: Narrow) -> Series:
    return Series(UP, ((narrow.node, Match("=~", "$node")), ("job", Match("=", narrow.values.job))))


def _up(narrow: Narrow) -> Row:
    up = _agents(narrow)
    at = narrow.by(narrow.node, "instance")
    failing = narrow.m(health.PIPELINE_FAILURES, _NODE)
    return Row(Text("Up", "在线"), (
        stat(Text("watchkeepers up", "watchkeeper 在线率"),
             Text("Targets that Prometheus reaches. Good: 100 %.", "Prometheus 可达的目标占比。正常：100%。"),
             f"sum({up}) / count({up})", "percentunit", falling(1, 0.9), decimals=0),
        stat(Text("Heartbeat", "心跳"), Text("The alert that always fires: without it nothing would page. Good: firing.",
             "始终触发的告警：没有它任何告警都送不出。正常：触发中。"),
             f'count({ALERTS}{{alertname="WatchkeeperWatchdog",alertstate="firing"}}) or vector(0)', "none",
             falling(1), shown=(Shown(1, Text("firing", "触发中"), "green"), Shown(0, Text("silent", "无"), "red"))),
        stat(Text("Sources not read", "不可读的源"), Text("Sources whose last read failed. Good: 0.",
             "上次读取失败的源。正常：0。"),
             f"count({narrow.m(health.SOURCE_UP, (*_NODE, 'source'))} == 0) or vector(0)", "none", rising(1)),
        stat(Text("Engines not read", "不可读的引擎"), Text("Good: 0.", "正常：0。"),
             f"count({narrow.m(engines.ENGINE_UP, (*_NODE, *ENGINE))} == 0) or vector(0)", "none", rising(1)),
        stat(Text("Failures inside, 1 h", "1 小时内部失败"), Text("Ticks on which watchkeeper itself failed. Good: 0.",
             "watchkeeper 自身出错次数。正常：0。"), f"sum(increase({failing['1h']}))", "none", rising(0.5), decimals=0),
        stat(Text("Series folded, 1 h", "1 小时折叠序列"),
             Text("New series that became `other` because a limit is reached. Good: 0.",
                  "因达到上限并入 other 的新序列。正常：0。"),
             f"sum(increase({narrow.m(health.SERIES_FOLDED, _NODE)['1h']}))", "none", rising(0.5), decimals=0),
        timeline(Text("watchkeepers", "各 watchkeeper"), Text("Good: green throughout.", "正常：全程绿色。"),
                 f"max by ({at}) ({up})", f"{{{{{narrow.node}}}}} {{{{instance}}}}", YES, width=12),
        table(Text("Versions and roles", "版本与角色"), Text("Good: one version, except during a rollout.",
              "正常：同一版本，发布期间除外。"),
              ((narrow.node, Text("Node", "节点")), ("instance", Text("Address", "地址")), ("role", Text("Role", "角色")),
               ("version", Text("Version", "版本"))),
              Query(f"time() - max by ({at}) ({narrow.m(health.START_TIME, _NODE)}) * on ({at}) group_right () "
                    f"max by ({at}, role, version) ({narrow.m(health.BUILD_INFO, (*_NODE, 'role'))})",
                    Text("Up for", "已运行"), unit="dtdurations"), width=12),
        timeline(Text("Engines' pages", "引擎指标页"), Text("Good: green: each engine's page is read and understood.",
                 "正常：绿色，各引擎指标页可读。"),
                 f"max by ({narrow.by(SERVICE, POD)}) ({narrow.m(engines.ENGINE_UP, (*_NODE, *ENGINE))})",
                 "{{service_name}} {{k8s_pod_name}}", YES, width=12, height=7),
        timeline(Text("Data links", "数据链路"),
                 Text("Do records arrive, whole, in time, once? Good: green.", "记录是否按时、完整、不重复到达。正常：绿色。"),
                 f"max by ({narrow.by(SERVICE, 'signal', 'link')}) ({narrow.m(signals.STATE, SEGMENT, signal=_LINKS)})",
                 "{{service_name}} {{link}} {{signal}}", STATES, width=12, height=7),
    ))  # fmt: skip


def _by(narrow: Narrow, metric: Metric, *labels: str, variables: tuple[str, ...] = _NODE) -> str:
    return narrow.rate(metric, variables, narrow.by(*labels))


def _data(narrow: Narrow) -> Row:
    of = (*_NODE, "source")
    lost, came = (_by(narrow, metric, "source", variables=of) for metric in (health.DROPPED, health.RECEIVED))
    at = narrow.by(narrow.node, "queue")
    used, room = (f"max by ({at}) ({narrow.m(one, _NODE)})" for one in (health.QUEUE_SIZE, health.QUEUE_CAPACITY))
    return Row(Text("Data", "数据"), (
        lines(Text("Received", "收到"), Text("Items a second by source. Good: as usual; 0 beside running services is a link"
              " that broke.", "各源每秒收到。正常：与往常相近；服务在跑却为 0 说明链路中断。"), "cps",
              Query(f"{came}", "{{source}}")),
        lines(Text("Lost", "丢失"), Text("Share of what was received that was lost. Good: 0.", "收到后丢失的占比。正常：0。"),
              "percentunit", Query(f"{lost} / ({came} > 0)", "{{source}}"),
              steps=((None, "transparent"), (narrow.values.thresholds.dropped_share, "red"))),
        lines(Text("Refused, invalid, not readable", "拒绝、无效与缺失"),
              Text("A second, by reason. Good: near 0, without steps.", "按原因每秒计数。正常：接近 0，无突变。"), "cps",
              Query(_by(narrow, health.REJECTED, "source", "reason", variables=of), "{{source}} {{reason}}"),
              Query(_by(narrow, health.INVALID_VALUES, "source", "field", variables=of), "{{source}} {{field}}"),
              Query(_by(narrow, health.GAPS, "source", "reason", variables=of), "{{source}} {{reason}}")),
        lines(Text("Queues in use", "队列占用"), Text("Share of the bytes a queue may hold. Good: below 50 %; full refuses"
              " senders.", "队列字节占用。正常：低于 50%；满则拒绝发送方。"), "percentunit",
              Query(f"{used} / {room}", f"{{{{{narrow.node}}}}} {{{{queue}}}}"),
              steps=((None, "transparent"), (0.8, "red"))),
        lines(Text("Queues behind", "队列滞后"), Text("Age of the oldest item. Good: below some seconds.",
              "最老条目的年龄。正常：数秒以内。"), "s",
              Query(f"max by ({at}) ({narrow.m(health.QUEUE_AGE, _NODE)})", f"{{{{{narrow.node}}}}} {{{{queue}}}}")),
        timeline(Text("Destinations", "输出目标"), Text("Good: green: every exporter's last write went well.",
                 "正常：绿色，各输出最近一次写入成功。"),
                 f"min by ({narrow.by(narrow.node, 'exporter')}) ({narrow.m(health.EXPORTER_UP, _NODE)})",
                 f"{{{{{narrow.node}}}}} {{{{exporter}}}}", YES, width=8),
    ))  # fmt: skip


def _overhead(narrow: Narrow) -> Row:
    at = narrow.by(narrow.node, "instance")
    name = f"{{{{{narrow.node}}}}} {{{{instance}}}}"
    return Row(Text("What it costs", "自身开销"), (
        lines(Text("Processor", "处理器"), Text("Cores. Good: some hundredths.", "核数。正常：百分之几。"), "short",
              Query(f"sum by ({at}) (rate({narrow.m(health.CPU_TIME, _NODE)[RATE]}))", name), width=6),
        lines(Text("Memory", "内存"), Text("Good: flat after the first hour, below the pod's limit.",
              "正常：一小时后平稳，低于 Pod 上限。"), "bytes",
              Query(f"max by ({at}) ({narrow.m(health.MEMORY, _NODE)})", name), width=6),
        lines(Text("Series held", "持有序列数"), Text("Good: flat; it grows with new models, pods and tenants only.",
              "正常：平稳；仅随新模型、Pod、租户增长。"), "short",
              Query(f"max by ({at}) ({narrow.m(health.SERIES, _NODE)})", name), width=6),
        lines(Text("Time spent on reading", "读取耗时"), Text("Seconds a second, by source and vendor. Good: below 2 %.",
              "每秒耗时，按源与厂商。正常：低于 2%。"), "percentunit",
              Query(_by(narrow, health.SOURCE_READ_TIME, "source", variables=(*_NODE, "source")), "{{source}}"),
              Query(_by(narrow, devices.SAMPLE_TIME, "hw_vendor"), "{{hw_vendor}}"), width=6),
    ))  # fmt: skip
