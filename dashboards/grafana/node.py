"""Accelerator node: is this card broken, hot, slow, or just busy."""

from dashboards.alert import Text
from dashboards.grafana.board import Board, Query, Row, Shown, lines, rising, stat, table, timeline
from dashboards.grafana.narrow import C_CARD, C_DEVICE, C_NAMESPACE, C_POD, CARD, STATES, TO_POD, Narrow
from dashboards.promql import but, like
from dashboards.scope import NAMESPACE, POD
from dashboards.values import Values
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import devices, signals

_NAME = "{{hw_vendor}} {{hw_name}}"
_CAPPED = but("sw_power_cap")
"""a power cap at full load is normal"""
_UP = (Shown(1, Text("read", "可读"), "green"), Shown(0, Text("not read", "不可读"), "red"))


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-node",
        title=Text("Accelerator node", "加速卡节点"),
        about=Text("Is this card broken, hot, slow, or just busy?", "这张卡是坏了、过热、变慢，还是只是忙？"),
        variables=narrow.variables(*CARD),
        events=narrow.events("faults", "findings", "pages"),
        rows=(_summary(narrow), _use(narrow), _heat(narrow), _errors(narrow)),
        since="now-3h",
        refresh="30s",
    )


def _max(narrow: Narrow, metric: Metric, **matchers: str) -> str:
    return f"max by ({narrow.card}) ({narrow.m(metric, CARD, **matchers)})"


def _name(narrow: Narrow) -> str:
    return f"{{{{{narrow.node}}}}} / {{{{hw_name}}}}"


def _summary(narrow: Narrow) -> Row:
    up = _max(narrow, devices.UP)
    heat = _max(narrow, devices.TEMPERATURE, hw_sensor_location="chip")
    limit = _max(narrow, devices.TEMPERATURE_LIMIT, hw_sensor_location="chip", hw_limit_type="slowdown")
    held = f"sum by ({narrow.card}) (rate({narrow.m(devices.THROTTLE_TIME, CARD, reason=_CAPPED)['$__rate_interval']}))"
    return Row(Text("Summary", "摘要"), (
        stat(Text("Devices read", "可读加速卡"), Text("Read at the last try over known. Good: 100 %.",
             "上次读取成功的占比。正常：100%。"), f"sum({up}) / count({up})", "percentunit",
             ((None, "red"), (1, "green"))),
        stat(Text("Faults, 24 h", "24 小时故障"),
             Text("Faults that drivers reported, those of applications left out. Good: 0.",
                  "驱动报告的故障，不含应用类。正常：0。"),
             f"sum(increase({narrow.m(devices.FAULTS, CARD, fault_class=but('application'))['24h']}))", "none",
             rising(1), decimals=0),
        stat(Text("Least margin to slowdown", "距降频温度余量"),
             Text("Degrees until the hottest chip slows itself down. Good: above 10.",
                  "最热芯片距离自动降频的度数。正常：大于 10。"),
             f"min({limit} - {heat})", "celsius", ((None, "red"), (5, "yellow"), (10, "green")), decimals=0),
        stat(Text("Most held back", "最大节流占比"),
             Text("Share of time in which clocks were held back, power cap left out. Good: 0.",
                  "时钟被压低的时间占比，不含功率上限。正常：0。"),
             f"max({held})", "percentunit", rising(0.02, 0.1), decimals=0),
        stat(Text("Power", "功率"), Text("Of all devices shown. Good: it follows the work.", "所示加速卡功率之和。正常：随负载。"),
             f"sum({_max(narrow, devices.POWER)})", "watt"),
        stat(Text("Energy, 24 h", "24 小时能耗"), Text("Devices alone. Good: as the day before at the same work.",
             "仅加速卡。正常：同样负载下与前一天相近。"),
             f"sum(increase({narrow.m(devices.ENERGY, CARD)['24h']})) / 3.6e6", "kwatth", decimals=1),
    ))  # fmt: skip


def _use(narrow: Narrow) -> Row:
    given = narrow.by(narrow.node, "hw_vendor", "hw_name", "hw_id", NAMESPACE, POD)
    line = _name(narrow)
    return Row(Text("Use", "利用"), (
        lines(Text("Utilisation", "利用率"),
              Text("Share of time in which the device ran anything; 100 % says nothing about how full it is. Good: peers"
                   " of one model close together.", "设备有任务运行的时间占比；100% 不代表满载。正常：同一模型的卡彼此接近。"),
              "percentunit", Query(_max(narrow, devices.UTILIZATION), line), high=1),
        lines(Text("Matrix unit", "矩阵单元"),
              Text("Share of cycles in which the matrix (tensor, cube) unit worked. Good: 30 to 60 % under load;"
                   " decoding is bound by memory.", "矩阵单元工作周期占比。正常：负载下 30–60%；解码受显存带宽限制。"),
              "percentunit", Query(_max(narrow, devices.MATRIX_ACTIVE), line), high=1),
        lines(Text("Memory bandwidth", "显存带宽"),
              Text("Share of the memory's bandwidth in use. Good: high while decoding, below 90 %.",
                   "显存带宽占用。正常：解码时较高，低于 90%。"),
              "percentunit", Query(_max(narrow, devices.MEMORY_BANDWIDTH), line), high=1),
        lines(Text("Memory in use", "显存占用"),
              Text("Good: flat (engines take theirs at start). A steady rise is a leak.",
                   "正常：平直（引擎启动时占用）。持续上升说明泄漏。"),
              "percentunit", Query(_max(narrow, devices.MEMORY_UTILIZATION), line), high=1),
        table(Text("Given to", "分配给"),
              Text("Which pod has which device. Good: every device of a serving node has a pod.",
                   "哪个 Pod 使用哪张卡。正常：服务节点的每张卡都有 Pod。"),
              ((narrow.node, Text("Node", "节点")), C_CARD, C_DEVICE, C_NAMESPACE, C_POD),
              Query(f"max by ({given}) ({narrow.m(devices.ALLOCATION, CARD)})", Text("Given", "已分配"), unit="none"),
              width=16, jump=TO_POD, hidden=("hw_vendor",)),
    ))  # fmt: skip


def _heat(narrow: Narrow) -> Row:
    line = _name(narrow)
    by = narrow.by(narrow.node, "hw_name", "reason")
    limit = narrow.m(devices.TEMPERATURE_LIMIT, CARD, hw_sensor_location="chip", hw_limit_type="slowdown")
    return Row(Text("Heat and power", "温度与功率"), (
        lines(Text("Chip temperature", "芯片温度"),
              Text("Good: steady, well below the slowdown line. All rise together: the cooling; one alone: its fan.",
                   "正常：平稳且远低于降频线。同时上升看散热，单卡上升看其风扇。"),
              "celsius", Query(_max(narrow, devices.TEMPERATURE, hw_sensor_location="chip"), line),
              Query(f"min({limit})", Text("slows down", "降频线")), low=None, colors=(("slows down", "red"),
                                                                                  ("降频线", "red")), width=6),
        lines(Text("Power", "功率"), Text("Good: below the limit; at it, clocks are held back.",
              "正常：低于上限；到上限会压低时钟。"), "watt", Query(_max(narrow, devices.POWER), line),
              Query(f"min({narrow.m(devices.POWER_LIMIT, CARD)})", Text("limit", "上限")),
              colors=(("limit", "red"), ("上限", "red")), width=6),
        lines(Text("Core clock", "核心时钟"),
              Text("Good: peers at the same work have the same clock. One below is a straggler.",
                   "正常：同样负载的卡时钟相同。偏低者为慢卡。"),
              "hertz", Query(_max(narrow, devices.CLOCK, clock="core"), line), low=None, width=6),
        lines(Text("Held back, by reason", "节流原因"),
              Text("Share of time. Good: nothing but a little sw_power_cap.", "时间占比。正常：仅少量 sw_power_cap。"),
              "percentunit",
              Query(f"sum by ({by}) (rate({narrow.m(devices.THROTTLE_TIME, CARD)['$__rate_interval']})) > 0.001",
                    f"{{{{reason}}}} {line}"), width=6),
    ))  # fmt: skip


def _errors(narrow: Narrow) -> Row:
    line = _name(narrow)
    codes = narrow.by(narrow.node, "hw_vendor", "hw_name", "hw_id", "fault_code")
    classes = narrow.by(narrow.node, "hw_vendor", "hw_name", "fault_class", "severity")
    kinds = narrow.by(narrow.node, "hw_name", "error_type")
    on = narrow.by(narrow.node, "hw_name", "link", "error_type")
    of_devices = like("throttling|straggler|fault|link|memory_leak|allocated_idle")
    state = narrow.m(signals.STATE, ("device",), signal=of_devices)
    raised = narrow.by(narrow.node, "hw_name", "signal", "reason", "link")
    return Row(Text("Errors", "错误"), (
        timeline(Text("Devices read", "可读状态"), Text("Good: green throughout.", "正常：全程绿色。"),
                 _max(narrow, devices.UP), line, _UP, width=12),
        timeline(Text("Signals of devices", "设备信号"),
                 Text("What watchkeeper says of each device: the worst of its signals. Good: nothing but green.",
                      "watchkeeper 对各设备的判断，取最差信号。正常：只有绿色。"),
                 f"max by ({narrow.by(narrow.node, 'hw_name')}) ({state})", line, STATES, width=12),
        table(Text("Signals raised now", "当前触发的信号"),
              Text("1 warning, 2 alarm. Good: empty. The finding says what to do first.",
                   "1 警告，2 告警。正常：空。处理步骤见发现。"),
              ((narrow.node, Text("Node", "节点")), C_CARD, ("signal", Text("Signal", "信号")),
               ("reason", Text("Reason", "原因"))),
              Query(f"max by ({raised}) ({state}) > 0", Text("State", "状态"), unit="none",
                    steps=((None, "green"), (1, "yellow"), (2, "red"))),
              width=8, hidden=("link",), sort=Text("State", "状态")),
        table(Text("Faults by class, in the time shown", "所选时段故障分类"),
              Text("Good: 0 everywhere. What to do for a code stands in the finding and on the accelerators page.",
                   "正常：全为 0。各故障码的处理见发现与加速卡文档。"),
              ((narrow.node, Text("Node", "节点")), C_CARD, ("fault_class", Text("Class", "类别")),
               ("severity", Text("Severity", "级别"))),
              Query(f"sum by ({classes}) (increase({narrow.m(devices.FAULTS, CARD)['$__range']}))",
                    Text("Faults", "次数"), unit="short", steps=((None, "green"), (0.5, "red"))),
              width=8, hidden=("hw_vendor",), sort=Text("Faults", "次数")),
        table(Text("Codes seen", "出现过的故障码"),
              Text("The vendor's own codes, counted since watchkeeper started. Good: empty.",
                   "厂商故障码，自 watchkeeper 启动起计数。正常：空。"),
              ((narrow.node, Text("Node", "节点")), C_CARD, ("fault_code", Text("Code", "代码"))),
              Query(f"max by ({codes}) ({narrow.m(devices.FAULT_CODES, CARD)})", Text("Times", "次数"), unit="none",
                    steps=((None, "green"), (0.5, "red"))),
              width=8, hidden=("hw_vendor", "hw_id"), sort=Text("Times", "次数")),
        lines(Text("Memory errors in an hour", "每小时显存错误"),
              Text("Good: uncorrected 0; a few corrected are normal.", "正常：不可纠正为 0；少量可纠正属正常。"),
              "short", Query(f"sum by ({kinds}) (increase({narrow.m(devices.ERRORS, CARD)['1h']})) > 0",
                             f"{{{{error_type}}}} {line}"), width=12),
        lines(Text("Link errors", "链路错误"), Text("Errors a second on PCIe and links between devices. Good: near 0.",
              "PCIe 与卡间链路每秒错误。正常：接近 0。"), "cps",
              Query(f"sum by ({on}) (rate({narrow.m(devices.LINK_ERRORS, CARD)['$__rate_interval']}))",
                    f"{{{{link}}}} {{{{error_type}}}} {line}"), width=12),
    ))  # fmt: skip
