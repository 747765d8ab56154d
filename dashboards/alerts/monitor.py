"""watchkeeper about itself: blindness pages, the rest is a ticket."""

from typing import Final

from dashboards.alert import AGE, COUNT, PERCENT, Alert, Rule, Runbook, Text
from dashboards.cases import CHAT, case, fires, given, up
from dashboards.promql import UP, Match, Series, grown, like, m, one_of
from dashboards.scope import MODEL, NAMESPACE, POD, SERVICE, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.vocabulary import device_exporters, devices, engines, health, kafka, listeners, store

HEARTBEAT: Final = "WatchkeeperWatchdog"


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    return (
        _watchdog(), _down(scope, values), _collector(scope), _engine(scope), _dropped(scope, values), _exporter(scope),
        _limits(scope), _failing(scope), _evidence(scope), _brokers(scope), _unread(scope), _kafka(scope),
        _certificate(scope, values), _stale(scope),
    )  # fmt: skip


def _watchdog() -> Alert:
    return Alert(
        name=HEARTBEAT,
        area="monitor",
        rules=(Rule("none", "vector(1)"),),
        labels=(),
        title=Text("Heartbeat", "告警链路心跳"),
        summary=Text("Heartbeat: always fires", "心跳：始终触发"),
        detail=Text("When it stops, Prometheus, Alertmanager or the way between is broken.", "停止即说明 Prometheus、Alertmanager 或其间链路已断。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("All is well while it fires. Somebody outside (the receiver `deadman`) pages when it no longer comes.", "触发代表正常。它停止时由外部（`deadman` 接收端）呼叫。"),
            first=Text("It stopped? Prometheus up? Rules loaded (`/rules`)? Alertmanager up? Network to the receiver?", "停止了？依次检查：Prometheus、规则是否加载（`/rules`）、Alertmanager、到接收端的网络。"),
            false_alarm=Text("A dead-man timeout shorter than five minutes.", "deadman 超时设得短于五分钟。"),
            next=Text("Alertmanager's log.", "Alertmanager 日志。"),
            dashboard="wk-monitor",
        ),
        cases=(case("always", "1m", fires=fires("none", {}, "1", 0)),),
    )  # fmt: skip


def _down(scope: Scope, values: Values) -> Alert:
    job = Series(UP, (("job", Match("=", values.job)),))
    node = (*scope.node, "instance")
    return Alert(
        name="WatchkeeperAgentDown",
        area="monitor",
        rules=(
            Rule("critical", f"absent({job} == 1)", "5m"),
            Rule("warning", f"max by ({listed(node)}) ({job}) == 0", "10m"),
        ),
        labels=node,
        title=Text("watchkeeper cannot be reached", "监控代理失联"),
        summary=Text("watchkeeper {instance} cannot be scraped since {since} (empty: none of them can)", "自 {since} 起无法抓取 watchkeeper {instance}（空 = 全部失联）"),
        detail=Text("Page: all of them, you are blind. Ticket: one of them.", "呼叫：全部失联，已失明；工单：单个失联。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Nothing that watchkeeper would tell reaches Prometheus, from one place or from all.", "watchkeeper 的数据无法到达 Prometheus：单个或全部。"),
            first=Text("All: scrape configuration, then DaemonSet and image pull, then network policy. One: `kubectl describe pod`, then its log.", "全部：抓取配置，再看 DaemonSet 和镜像，再看网络策略。单个：`kubectl describe pod`，再看日志。"),
            false_alarm=Text(f"The job was renamed: these rules look for `job=\"{values.job}\"` (value `job`). A node that was taken away.", f"job 改名：规则查找 `job=\"{values.job}\"`（值 `job`）；节点已下线。"),
            next=Text("Targets page of Prometheus: the error of the last scrape.", "Prometheus 的 Targets 页面：最近一次抓取错误。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("all are gone", "20m", up("1x5 0x30", job=values.job, node="n1", instance="n1:9464"),
                 fires=(*fires("critical", {}, "1", 360), *fires("warning", {"node": "n1", "instance": "n1:9464"}, "0", 360))),
            case("one of two", "20m", up("1x5 0x30", job=values.job, node="n1", instance="n1:9464"), up("1x40", job=values.job, node="n2", instance="n2:9464"),
                 fires=fires("warning", {"node": "n1", "instance": "n1:9464"}, "0", 360)),
            case("a restart", "20m", up("1x5 0x3 1x30", job=values.job, node="n1", instance="n1:9464")),
        ),
    )  # fmt: skip


def _collector(scope: Scope) -> Alert:
    parts = (
        f"min by ({listed((*scope.node, 'source'))}) ({m(health.SOURCE_UP)}) == 0",
        f"min by ({listed((*scope.node, 'hw_vendor'))}) ({m(devices.DRIVER_UP)}) == 0",
        f"min by ({listed((*scope.node, 'server_address', 'server_port'))}) ({m(device_exporters.EXPORTER_UP)}) == 0",
        f"min by ({listed(scope.node)}) ({m(devices.PLACEMENT_UP)}) == 0",
    )
    return Alert(
        name="WatchkeeperCollectorDown",
        area="monitor",
        rules=(Rule("warning", "\nor\n".join(parts), "10m"),),
        labels=(*scope.node, "source", "hw_vendor", "server_address", "server_port"),
        title=Text("A source cannot be read", "采集器失效"),
        summary=Text(f"{{source}}{{hw_vendor}}{{server_address}} of {scope.of_node} cannot be read since {{since}}", f"{scope.of_node} 的 {{source}}{{hw_vendor}}{{server_address}} 无法读取，自 {{since}}"),
        detail=Text("A source, a vendor's driver, a device exporter, or (nothing named) the kubelet's placement of devices.", "数据源、厂商驱动、设备 exporter，或（未列出名称时）kubelet 的设备分配。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("One of the things that watchkeeper reads does not answer; its numbers are absent, not frozen.", "watchkeeper 读取的某个对象没有应答；其数值会消失，而不是冻结。"),
            first=Text("`watchkeeper doctor` on that node says what is missing and what to do.", "在该节点运行 `watchkeeper doctor`，会说明缺什么、怎么做。"),
            false_alarm=Text("A driver upgrade. A source that is on where its hardware is not: switch it off there.", "驱动升级；在没有该硬件的节点上开启了数据源：关掉它。"),
            next=Text("`watchkeeper_source_failures_total` by reason; `watchkeeper_device_call_errors_total`.", "按原因看 `watchkeeper_source_failures_total`；`watchkeeper_device_call_errors_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("a source", "20m", given(health.SOURCE_UP, "1x3 0x30", source="accelerators", node="n1"), fires=fires("warning", {"node": "n1", "source": "accelerators"}, "0", 240)),
            case("a driver", "20m", given(devices.DRIVER_UP, "1x3 0x30", hw_vendor="ascend", node="n1"), fires=fires("warning", {"node": "n1", "hw_vendor": "ascend"}, "0", 240)),
            case("all answer", "20m", given(health.SOURCE_UP, "1x30", source="otlp", node="n1"), given(devices.PLACEMENT_UP, "1x30", node="n1")),
        ),
    )  # fmt: skip


def _engine(scope: Scope) -> Alert:
    labels = (*scope.extra, NAMESPACE, POD, SERVICE, MODEL, "server_address", "server_port")
    return Alert(
        name="WatchkeeperEngineUnreadable",
        area="monitor",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(engines.ENGINE_UP)}) == 0", "10m"),),
        labels=labels,
        title=Text("An engine's metrics cannot be read", "引擎指标无法读取"),
        summary=Text("Engine {server_address}:{server_port} ({service_name}) cannot be read since {since}", "引擎 {server_address}:{server_port}（{service_name}）无法读取，自 {since}"),
        detail=Text("Its queue, cache and token numbers are absent.", "它的排队、缓存、token 数据缺失。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("The metrics page of an engine is gone or not understood. Users may be served well.", "引擎的指标页不可达或无法识别，用户可能不受影响。"),
            first=Text("`watchkeeper doctor --engine URL` says why in one line.", "`watchkeeper doctor --engine URL` 会用一行说明原因。"),
            false_alarm=Text("A model that loads for more than ten minutes; an engine scaled down.", "模型加载超过十分钟；引擎已缩容。"),
            next=Text("`watchkeeper_engine_fault` by reason; WatchkeeperAvailabilityBudgetBurn says whether users feel it.", "按原因看 `watchkeeper_engine_fault`；用户是否受影响看 WatchkeeperAvailabilityBudgetBurn。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("gone", "20m", given(engines.ENGINE_UP, "1x3 0x30", server_address="10.0.0.7", server_port="8000", **CHAT),
                 fires=fires("warning", {**CHAT, "server_address": "10.0.0.7", "server_port": "8000"}, "0", 240)),
            case("a restart", "20m", given(engines.ENGINE_UP, "1x3 0x4 1x30", server_address="10.0.0.7", server_port="8000", **CHAT)),
        ),
    )  # fmt: skip


def _dropped(scope: Scope, values: Values) -> Alert:
    by = listed((*scope.extra, "source"))
    expr = (
        f"sum by ({by}) (rate({m(health.DROPPED)['10m']}))\n/\n(sum by ({by}) (rate({m(health.RECEIVED)['10m']})) > 0)\n"
        f"> {values.thresholds.dropped_share:g}"
    )
    return Alert(
        name="WatchkeeperDataDropped",
        area="monitor",
        rules=(Rule("warning", expr, "10m"),),
        labels=(*scope.extra, "source"),
        title=Text("watchkeeper loses records", "监控数据丢弃"),
        summary=Text("{value} of what {source} brought was lost inside watchkeeper since {since}", "{source} 的数据有 {value} 在 watchkeeper 内部丢失，自 {since}"),
        detail=Text("Accepted and then lost: counts are too low by that share.", "已接收但丢失：计数相应偏低。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("Records were acknowledged to their sender and then not counted.", "已向发送方确认的记录没有被计入。"),
            first=Text("Read the reason: `fault` is an error of ours (log), a full queue needs more memory or a second replica.", "看原因：`fault` 是我们的错误（看日志）；队列满则加内存或加副本。"),
            false_alarm=Text("None: sampling and refusals are counted elsewhere.", "无：采样和拒绝另有计数。"),
            next=Text("`watchkeeper_pipeline_dropped_total` by reason; `watchkeeper_queue_size_bytes`.", "按原因看 `watchkeeper_pipeline_dropped_total`；`watchkeeper_queue_size_bytes`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("one in ten", "30m", given(health.RECEIVED, "0+100x40", source="otlp", signal="traces"), given(health.DROPPED, "0+10x40", source="otlp", reason="fault"),
                 fires=fires("warning", {"source": "otlp"}, "10%", 60)),
            case("one in a thousand", "30m", given(health.RECEIVED, "0+1000x40", source="otlp", signal="traces"), given(health.DROPPED, "0+1x40", source="otlp", reason="fault")),
        ),
    )  # fmt: skip


def _exporter(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "exporter")
    return Alert(
        name="WatchkeeperExporterDown",
        area="monitor",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(health.EXPORTER_UP)}) == 0", "10m"),),
        labels=labels,
        title=Text("A destination takes nothing", "输出目标不可用"),
        summary=Text("{exporter} of {instance} fails since {since}", "{instance} 的 {exporter} 输出失败，自 {since}"),
        detail=Text("What it should have got is sent later as totals, or is late.", "应发送的数据会稍后以总量补发，或已延迟。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("A place that watchkeeper pushes to refuses or cannot be reached. Prometheus still has everything.", "推送目标拒绝或不可达；Prometheus 仍有全部数据。"),
            first=Text("Is the collector at that address up? Then certificate, token, quota.", "该地址的 collector 是否在线？再查证书、令牌、配额。"),
            false_alarm=Text("A collector being rolled out.", "collector 正在发布。"),
            next=Text("`watchkeeper_exporter_failures_total` by reason.", "按原因看 `watchkeeper_exporter_failures_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("fails", "20m", given(health.EXPORTER_UP, "1x3 0x30", exporter="otlp", instance="a"), fires=fires("warning", {"exporter": "otlp", "instance": "a"}, "0", 240)),
            case("one that fails once", "20m", given(health.EXPORTER_UP, "1x3 0x2 1x30", exporter="otlp", instance="a")),
        ),
    )  # fmt: skip


def _limits(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "label")
    by = listed(labels)
    return Alert(
        name="WatchkeeperSeriesLimit",
        area="monitor",
        rules=(Rule("warning", f"{grown(m(health.LABEL_OVERFLOW), by, '1h')} > 0\nor\nsum by ({by}) (increase({m(health.SERIES_FOLDED)['1h']})) > 0", "15m"),),
        labels=labels,
        title=Text("Too many series: some are folded", "序列数达到上限"),
        summary=Text("{instance}: {value} series became `other` ({label}) since {since}", "{instance}：{value} 条序列并入 `other`（{label}），自 {since}"),
        detail=Text("New values of a label, or new series, are counted together as `other`.", "标签的新取值或新序列被合并计为 `other`。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("A label has more values than allowed. Sums stay right, details of new ones are lost.", "某标签取值超过上限。合计仍正确，新取值的明细丢失。"),
            first=Text("Which label? An id in a tenant's or model's name is the usual cause: fix the sender, or raise `limits`.", "哪个标签？租户名或模型名里带 ID 最常见：改发送方，或调高 `limits`。"),
            false_alarm=Text("A fleet that has grown: raise `limits.max_series`.", "规模确实变大：调高 `limits.max_series`。"),
            next=Text("`watchkeeper_labels_values` by label.", "按标签看 `watchkeeper_labels_values`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("a label overflows", "40m", given(health.LABEL_OVERFLOW, "0+1x60", label="tenant", instance="a"), fires=fires("warning", {"instance": "a", "label": "tenant"}, "40", 60)),
            case("long ago", "100m", given(health.LABEL_OVERFLOW, "9x120", label="tenant", instance="a")),
        ),
    )  # fmt: skip


def _failing(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "signal", "reason")
    by = listed(labels)
    return Alert(
        name="WatchkeeperPipelineFailing",
        area="monitor",
        rules=(Rule("warning", f"{grown(m(health.PIPELINE_FAILURES), by, '15m')} > 0\nor\nsum by ({by}) (increase({m(health.SIGNAL_FAILURES)['15m']})) > 3"),),
        labels=labels,
        title=Text("watchkeeper fails inside", "watchkeeper 内部出错"),
        summary=Text("{instance}: {value} failures ({signal} {reason}) since {since}", "{instance}：{value} 次内部错误（{signal} {reason}），自 {since}"),
        detail=Text("A signal that fails judges nothing; the others go on.", "出错的信号不再判断；其他信号照常。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("An error in watchkeeper itself.", "watchkeeper 自身的错误。"),
            first=Text("Read its log at that time and open an issue with it. A restart helps only where it is a damaged state.", "查看当时日志并提 issue；只有状态损坏时重启才有用。"),
            false_alarm=Text("None.", "无。"),
            next=Text("`watchkeeper_build_info`: did the version change?", "`watchkeeper_build_info`：版本是否变了？"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("fails", "10m", given(health.PIPELINE_FAILURES, "0x3 2x20", reason="KeyError", instance="a"), fires=fires("warning", {"instance": "a", "reason": "KeyError"}, "2", 240)),
            case("the first failure ever", "40m", given(health.PIPELINE_FAILURES, "_x30 1x20", reason="KeyError", instance="a"),
                 fires=fires("warning", {"instance": "a", "reason": "KeyError"}, "1", 1800)),
            case("failed a day ago", "40m", given(health.PIPELINE_FAILURES, "2x50", reason="KeyError", instance="a")),
        ),
    )  # fmt: skip


def _evidence(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "kind", "outcome")
    lost = m(store.RECORDS, outcome=one_of("dropped", "refused"))
    return Alert(
        name="WatchkeeperEvidenceWriteFailing",
        area="monitor",
        rules=(Rule("warning", f"{grown(lost, listed(labels), '15m')} > 0", keep="15m"),),
        labels=labels,
        title=Text("The record for audits has gaps", "治理证据写入失败"),
        summary=Text("{instance}: {value} records ({kind}) were {outcome} by the store since {since}", "{instance}：{value} 条记录（{kind}）未写入存储（{outcome}），自 {since}"),
        detail=Text("dropped: no room to wait while the database was away. refused: the database takes them never.", "dropped：数据库不可用且等待队列已满；refused：数据库永远不会接受。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Findings, changes or counts that a review relies on were not written, and will not be.", "审计所依赖的发现、变更或计数没有写入，也不会补写。"),
            first=Text("Is the database up, with free space? `watchkeeper audit verify` says whether the record is whole. Note the gap in the review.", "数据库是否在线、有空间？`watchkeeper audit verify` 检查记录是否完整。把缺口写入评审记录。"),
            false_alarm=Text("None: what waits and is written later is not counted.", "无：等待后补写的不计入。"),
            next=Text("`watchkeeper_store_waiting`; WatchkeeperExporterDown of the exporter `store`.", "`watchkeeper_store_waiting`；输出 `store` 的 WatchkeeperExporterDown。"),
            dashboard="wk-governance",
        ),
        cases=(
            case("the first that is dropped", "40m", given(store.RECORDS, "_x30 3x20", kind="events", outcome="dropped", instance="a"),
                 fires=fires("warning", {"instance": "a", "kind": "events", "outcome": "dropped"}, "3", 1800)),
            case("all are written, old ones removed", "40m", given(store.RECORDS, "0+5x60", kind="events", outcome="written", instance="a"),
                 given(store.RECORDS, "0+5x60", kind="events", outcome="removed", instance="a")),
        ),
    )  # fmt: skip


def _brokers(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "client")
    return Alert(
        name="WatchkeeperBrokersUnreachable",
        area="monitor",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(kafka.CONNECTED)}) == 0", "10m"),),
        labels=labels,
        title=Text("Kafka's brokers do not answer", "Kafka broker 无应答"),
        summary=Text("{client} of {instance} cannot reach the brokers since {since}", "{instance} 的 {client} 无法连接 broker，自 {since}"),
        detail=Text("Counts wait where they were made, and nobody judges drift of the fleet meanwhile.", "计数在本地等待；其间没有人判断机群的漂移。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Sidecars and gateways keep what they counted, up to `spool_mebibytes`; detectors judge it late. Metrics and other alerts go on.",
                         "sidecar 和 gateway 在 `spool_mebibytes` 以内保留计数，检测器稍后判断；指标和其他告警照常。"),
            first=Text("One of them: its network policy, certificate, password. All: the brokers, then their listeners' advertised names.",
                       "单个：网络策略、证书、密码。全部：broker 本身，再看其对外公布的监听地址。"),
            false_alarm=Text("Brokers being rolled out one at a time do not come here; all at once do.", "broker 逐个滚动发布不会触发；同时重启会。"),
            next=Text("`watchkeeper_kafka_errors_total` by reason; how long the spool lasts: `watchkeeper_queue_size_bytes` against its capacity.",
                      "按原因看 `watchkeeper_kafka_errors_total`；本地缓存还能撑多久：`watchkeeper_queue_size_bytes` 与其容量。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("away", "20m", given(kafka.CONNECTED, "1x3 0x30", client="exporter", instance="a"),
                 fires=fires("warning", {"client": "exporter", "instance": "a"}, "0", 240)),
            case("a broker is started anew", "20m", given(kafka.CONNECTED, "1x3 0x5 1x30", client="exporter", instance="a")),
        ),
    )  # fmt: skip


def _unread(scope: Scope) -> Alert:
    labels = (*scope.extra, "group", "topic")
    read = f"sum by ({listed(labels)}) ({m(kafka.PARTITIONS)})"
    ticks = {"group": "watchkeeper", "topic": "watchkeeper.ticks"}
    return Alert(
        name="WatchkeeperPartitionsUnread",
        area="monitor",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(kafka.TOPIC_PARTITIONS)}) - {read} > 0", "10m"),),
        labels=labels,
        title=Text("Partitions are read by nobody", "有分区无人读取"),
        summary=Text("{value} partitions of {topic} are read by no member of {group} since {since}", "{topic} 有 {value} 个分区没有 {group} 的成员读取，自 {since}"),
        detail=Text("What is written to them waits, and is deleted after the topic's retention.", "写入这些分区的消息在等待，超过 topic 保留期即被删除。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Segments whose counts lie there are judged late; nobody reports their lag. Nothing is lost before `retention.ms`.",
                         "落在其中的 segment 会推迟判断，也没有人报告其积压；在 `retention.ms` 之前不会丢失。"),
            first=Text("Every detector up (WatchkeeperAgentDown)? Then who has what: `watchkeeper_kafka_partitions` by instance. Start the one that has none again.",
                       "所有检测器是否在线（WatchkeeperAgentDown）？再按实例看 `watchkeeper_kafka_partitions`，重启没有分区的实例。"),
            false_alarm=Text("A detector that reads a large `watchkeeper.state` before it begins.", "检测器开始前正在读取很大的 `watchkeeper.state`。"),
            next=Text("`kafka-consumer-groups.sh --describe --state --group` of the group; `watchkeeper_kafka_errors_total{reason=\"ShutOut\"}`; `watchkeeper_kafka_rebalances_total`.",
                      "对该组执行 `kafka-consumer-groups.sh --describe --state --group`；`watchkeeper_kafka_errors_total{reason=\"ShutOut\"}`；`watchkeeper_kafka_rebalances_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("one of two has none", "20m", given(kafka.TOPIC_PARTITIONS, "4x30", **ticks, instance="a"),
                 given(kafka.PARTITIONS, "2x30", **ticks, instance="a"), given(kafka.PARTITIONS, "2x3 0x30", **ticks, instance="b"),
                 fires=fires("warning", ticks, "2", 240)),
            case("one hands over to another", "20m", given(kafka.TOPIC_PARTITIONS, "4x30", **ticks, instance="a"),
                 given(kafka.PARTITIONS, "4x3 0x30", **ticks, instance="a"), given(kafka.PARTITIONS, "0x5 4x30", **ticks, instance="b")),
            case("another group reads it too", "20m", given(kafka.TOPIC_PARTITIONS, "4x30", **ticks, instance="a"),
                 given(kafka.PARTITIONS, "3x30", **ticks, instance="a"), given(kafka.PARTITIONS, "4x30", **(ticks | {"group": "mine"}), instance="b"),
                 fires=fires("warning", ticks, "1", 0)),
        ),
    )  # fmt: skip


def _kafka(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", "topic", "reason")
    parts = [f"{grown(m(metric), listed(labels), '15m')} > 0" for metric in (kafka.DROPPED, kafka.MISSED, kafka.DEAD)]
    return Alert(
        name="WatchkeeperKafkaLoss",
        area="monitor",
        rules=(Rule("warning", "\nor\n".join(parts), keep="15m"),),
        labels=labels,
        title=Text("Messages on Kafka are lost", "Kafka 消息丢失"),
        summary=Text("{instance}: {value} messages ({topic} {reason}) were lost since {since}", "{instance}：{value} 条消息（{topic} {reason}）丢失，自 {since}"),
        detail=Text("Before they were sent (full, refused, damaged), or before they were read (deleted by the brokers), or unreadable.", "发送前丢失（full、refused、damaged），读取前被 broker 删除，或无法解析。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("What detectors and reports see of these calls is less than what was. Nobody's request is touched.", "检测和报告看到的数据少于实际；用户请求不受影响。"),
            first=Text("`full`: the brokers were away for longer than the spool holds. `refused`: larger than the topic's `max.message.bytes`. `shutdown`: stopped without a `state_folder`. Deleted: readers are behind retention, add members. Unreadable: see the dead-letter topic.",
                       "`full`：broker 不可用时间超过本地缓存；`refused`：大于 topic 的 `max.message.bytes`；`shutdown`：没有 `state_folder` 时停止；被删除：消费落后于保留期，增加成员；无法解析：查看死信 topic。"),
            false_alarm=Text("A topic emptied by hand; a first start in the middle of an old topic.", "人工清空的 topic；首次从旧 topic 中间开始读取。"),
            next=Text("`watchkeeper_kafka_lag` by partition; `watchkeeper_kafka_connected`; `watchkeeper_kafka_errors_total` by reason.", "按分区看 `watchkeeper_kafka_lag`；`watchkeeper_kafka_connected`；按原因看 `watchkeeper_kafka_errors_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("the spool overflows", "40m", given(kafka.DROPPED, "_x30 7x20", reason="full", instance="a"),
                 fires=fires("warning", {"instance": "a", "reason": "full"}, "7", 1800)),
            case("deleted before they were read", "40m", given(kafka.MISSED, "0x30 40x20", topic="calls", instance="a"),
                 fires=fires("warning", {"instance": "a", "topic": "calls"}, "40", 1860)),
            case("late, and all are read", "40m", given(kafka.LAG, "0+100x20 2000-100x20", topic="calls", partition="0", instance="a")),
        ),
    )  # fmt: skip


def _certificate(scope: Scope, values: Values) -> Alert:
    """
    A ticket to its last day, since nothing fails before. What fails then pages by itself where all are blind
    (WatchkeeperAgentDown); clients of the tap, who are users, turn away unseen by any other rule.
    """
    labels = (*scope.extra, "instance", listeners.LISTENER)
    days = values.thresholds.certificate_days
    left = f"min by ({listed(labels)}) ({m(listeners.CERTIFICATE_EXPIRY)}) - time()"
    on_tap = f"min by ({listed(labels)}) ({m(listeners.CERTIFICATE_EXPIRY, listener=like('tap.+'))}) - time()"
    port = {"instance": "a", "listener": "otlp"}
    tap = {"instance": "a", "listener": "tap[0]"}
    return Alert(
        name="WatchkeeperCertificateExpires",
        area="monitor",
        rules=(Rule("critical", f"{on_tap} <= 0", "2m"), Rule("warning", f"{left} < {days:g} * 86400", "15m")),
        labels=labels,
        title=Text("A certificate of watchkeeper's runs out", "watchkeeper 证书即将到期"),
        summary=Text("{instance} {listener}: the certificate has {value} left, known since {since}", "{instance} {listener}：证书剩余 {value}，自 {since} 起告警"),
        detail=Text("Page: run out where clients of the model connect. Ticket: will run out; negative: has.", "呼叫：模型客户端所连端口的证书已过期；工单：即将过期，负值表示已过期。"),
        show=AGE,
        runbook=Runbook(
            meaning=Text("Who checks certificates turns away once it has run out: clients of the tap, senders of OTLP, Prometheus (then WatchkeeperAgentDown).", "过期后，校验证书的对端会拒绝连接：tap 的客户端、OTLP 发送方、Prometheus（随后 WatchkeeperAgentDown）。"),
            first=Text("Put the new certificate and key into the files under `tls` of the port's section, or mend what renews them (`kubectl describe certificate`). They are read again within 10 s.",
                       "把新证书和私钥写入该端口配置节 `tls` 所指文件，或修复自动续期（`kubectl describe certificate`）。10 秒内会重新读取。"),
            false_alarm=Text(f"Certificates that live for less than {days:g} days: set `thresholds.certificate_days`. Nobody checks that port's certificate.", f"证书有效期本就短于 {days:g} 天：调整 `thresholds.certificate_days`；该端口的证书无人校验。"),
            next=Text("WatchkeeperFilesStale: the new file is there and cannot be used. `watchkeeper_tls_handshake_failures_total` by reason (not of the tap).", "WatchkeeperFilesStale 表示新文件已到但无法使用；按原因看 `watchkeeper_tls_handshake_failures_total`（不含 tap）。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("ten days are left", "30m", given(listeners.CERTIFICATE_EXPIRY, "864000x40", **port), fires=fires("warning", port, "9d 23h 30m 0s", 0)),
            case("run out where users connect", "30m", given(listeners.CERTIFICATE_EXPIRY, "1000x40", **tap),
                 fires=(*fires("critical", tap, "-13m 20s", 1020), *fires("warning", tap, "-13m 20s", 0))),
            case("run out elsewhere", "30m", given(listeners.CERTIFICATE_EXPIRY, "1000x40", **port), fires=fires("warning", port, "-13m 20s", 0)),
            case("renewed in time", "30m", given(listeners.CERTIFICATE_EXPIRY, "864000x5 7776000x40", **port)),
        ),
    )  # fmt: skip


def _stale(scope: Scope) -> Alert:
    labels = (*scope.extra, "instance", listeners.LISTENER, "kind")
    port = {"instance": "a", "listener": "otlp", "kind": "tls"}
    return Alert(
        name="WatchkeeperFilesStale",
        area="monitor",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(listeners.STALE_FILES)}) == 1", "15m"),),
        labels=labels,
        title=Text("New certificates or tokens cannot be used", "新的证书或令牌无法读取"),
        summary=Text("{instance} {listener}: files ({kind}) hold nothing usable since {since}", "{instance} {listener}：文件（{kind}）自 {since} 起内容不可用"),
        detail=Text("What was read before stays in use: old certificates run out, revoked tokens still open the port.", "继续使用之前读到的内容：旧证书会过期，已作废的令牌仍然有效。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("A file of certificates or tokens was changed and cannot be read, or key and certificate differ. A restart would not come up.", "证书或令牌文件已变更，但无法读取，或私钥与证书不匹配。此时重启将无法启动。"),
            first=Text("The pod's log names the file and what is wrong. Mend it before anything restarts; it is read again within 10 s.", "Pod 日志写明了文件和原因。先修好再重启；10 秒内会重新读取。"),
            false_alarm=Text("None: a file that is written in two steps is well again within 15 minutes.", "无：分两步写入的文件会在 15 分钟内恢复。"),
            next=Text("WatchkeeperCertificateExpires says how long the old certificate lasts; `watchkeeper_auth_failures_total` by reason.", "旧证书还剩多久看 WatchkeeperCertificateExpires；按原因看 `watchkeeper_auth_failures_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("a key that is another's", "30m", given(listeners.STALE_FILES, "0x3 1x40", **port), fires=fires("warning", port, "1", 240)),
            case("written in two steps", "30m", given(listeners.STALE_FILES, "0x3 1x2 0x40", **port)),
        ),
    )  # fmt: skip
