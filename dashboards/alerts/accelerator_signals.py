"""Accelerators as watchkeeper's own signals judge them: slow, hot, idle, running full. Tickets."""

from typing import Final

from dashboards.alert import COUNT, Alert, Case, Rule, Runbook, Text
from dashboards.cases import CARD, case, fires, given
from dashboards.promql import Match, like, m, unlike
from dashboards.scope import NAMESPACE, POD, Scope, listed
from watchkeeper.core.vocabulary import signals

_BRAKE: Final = ".*brake.*"
_HEAT: Final = "(?i).*(therm|thrm|temp|prochot|slowdown|hot).*"


def alerts(scope: Scope) -> tuple[Alert, ...]:
    return (_heat(scope), _brake(scope), _straggler(scope), _idle(scope), _leak(scope))


def raised(scope: Scope, name: str, at_least: int, *more: str, reason: tuple[Match, ...] = ()) -> str:
    """Devices of which a signal says at least this: 1 warn, 2 alarm."""
    matchers = {"reason": reason} if reason else {}
    return f"max by ({listed((*scope.device, *more))}) ({m(signals.STATE, signal=name, **matchers)}) >= {at_least}"


def stated(value: str, signal: str, /, **labels: str) -> tuple[str, str]:
    return given(signals.STATE, value, signal=signal, **CARD | labels)


def _of_signal(
    scope: Scope, name: str, rule: Rule, title: Text, summary: Text, detail: Text, runbook: Runbook,
    cases: tuple[Case, ...], *more: str,
) -> Alert:  # fmt: skip
    """An alert that passes on what a signal of watchkeeper judged; the finding beside it has the numbers."""
    return Alert(
        name=name, area="accelerator", rules=(rule,), labels=(*scope.device, *more), title=title, summary=summary,
        detail=detail, show=COUNT, runbook=runbook, cases=cases,
    )  # fmt: skip


def _heat(scope: Scope) -> Alert:
    expr = raised(scope, "throttling", 1, reason=(like(_HEAT), unlike(_BRAKE)))
    return _of_signal(
        scope, "WatchkeeperDeviceThermalThrottle", Rule("warning", expr, "5m"),
        Text("Slowed down by heat", "过热降频"),
        Text(f"Heat slows down {scope.of_device.en} since {{since}}", f"{scope.of_device.zh}过热降频，自 {{since}}"),
        Text("{hw_id}; the finding says how much of the time.", "{hw_id}；发现（finding）里有降频时间占比。"),
        Runbook(
            meaning=Text("Clocks are held back because the device is too hot: answers get slower.", "温度过高，时钟被压低，回答会变慢。"),
            first=Text(
                "Compare with the neighbours: one hot device is its fan, paste or dust; a hot rack is the cooling. Move load away if users feel it.",
                "与相邻的卡比较：只有一张热是风扇、硅脂或灰尘；整个机柜热是制冷。用户有感知就迁走负载。",
            ),
            false_alarm=Text("A short spike when load starts is not counted; a fan curve that somebody set is.", "负载起步的短暂尖峰不计入；人为设置的风扇曲线会。"),
            next=Text("Temperature, limit and clock of the device and of its node.", "该卡和整个节点的温度、温度上限和时钟。"),
            dashboard="wk-node",
        ),
        (
            case("hot for long", "10m", stated("0x2 1x20", "throttling", reason="sw_thermal_slowdown"), fires=fires("warning", CARD, "1", 180)),
            case("a power cap at full load", "10m", stated("1x20", "throttling", reason="sw_power_cap"), stated("0x20", "throttling", reason="hw_thermal_slowdown")),
            case("a power brake is another alert", "10m", stated("2x20", "throttling", reason="hw_power_brake_slowdown")),
        ),
    )  # fmt: skip


def _brake(scope: Scope) -> Alert:
    expr = raised(scope, "throttling", 1, reason=(like(_BRAKE),))
    return _of_signal(
        scope, "WatchkeeperDevicePowerBrake", Rule("warning", expr, "2m"),
        Text("Slowed down by the power supply", "外部功率制动降频"),
        Text(f"A power brake slows down {scope.of_device.en} since {{since}}", f"{scope.of_device.zh}被外部功率制动降频，自 {{since}}"),
        Text("{hw_id} is braked from outside: power supply, PDU or a rack limit.", "{hw_id} 被外部制动：电源、PDU 或机柜限额。"),
        Runbook(
            meaning=Text("Something outside the device tells it to draw less power, by a wire.", "卡外的供电系统通过硬件信号要求它降功率。"),
            first=Text("Call facilities: power supply, PDU, rack limit. Spread load over racks meanwhile.", "联系机房：电源、PDU、机柜限额；同时把负载分散到其他机柜。"),
            false_alarm=Text("A tested failover of a power supply. A software power cap at full load is normal and does not come here.", "电源切换演练；满载时的软件功率上限属正常，不会进到这里。"),
            next=Text("Which nodes of the rack have it too; power and limit on the dashboard.", "同机柜还有哪些节点出现；看板上的功率和上限。"),
            dashboard="wk-node",
        ),
        (
            case("braked", "6m", stated("0x2 2x20", "throttling", reason="hw_power_brake_slowdown"), fires=fires("warning", CARD, "2", 180)),
            case("a software cap", "6m", stated("1x20", "throttling", reason="sw_power_cap")),
        ),
    )  # fmt: skip


def _straggler(scope: Scope) -> Alert:
    return _of_signal(
        scope, "WatchkeeperDeviceStraggler", Rule("warning", raised(scope, "straggler", 1), "10m"),
        Text("A device slower than its peers", "慢卡"),
        Text(f"{scope.of_device.en} is slower than its peers since {{since}}", f"{scope.of_device.zh}比同组的卡慢，自 {{since}}"),
        Text("{hw_id} holds up every device that works with it.", "{hw_id} 会拖慢与它协同的所有卡。"),
        Runbook(
            meaning=Text("At the same work its clock is 10 % or more below the median of its peers.", "同样的工作下，它的时钟比同组中位数低 10% 以上。"),
            first=Text(
                "Throttled: see those alerts. Else compare clock settings, power limit and PCIe width; then take it out of the group.",
                "若在降频：看对应告警。否则比较时钟设置、功率上限、PCIe 宽度；再把它移出并行组。",
            ),
            false_alarm=Text("Clocks that somebody set on purpose; devices of one model that do different work.", "有人特意设置的时钟；同型号但工作不同的卡。"),
            next=Text("Clock, power and temperature beside the seven neighbours.", "与相邻七张卡的时钟、功率、温度对比。"),
            dashboard="wk-node",
        ),
        (
            case("slow for long", "20m", stated("0x2 1x40", "straggler"), fires=fires("warning", CARD, "1", 180)),
            case("slow for a moment", "20m", stated("0x5 1x3 0x40", "straggler")),
        ),
    )  # fmt: skip


def _idle(scope: Scope) -> Alert:
    return _of_signal(
        scope, "WatchkeeperDeviceIdleAllocated", Rule("info", raised(scope, "allocated_idle", 1, NAMESPACE, POD), "2h"),
        Text("Given away and idle", "已分配但空闲"),
        Text(
            f"{{{NAMESPACE}}}/{{{POD}}} has {scope.of_device.en} and does nothing with it since {{since}}",
            f"{{{NAMESPACE}}}/{{{POD}}} 占着{scope.of_device.zh}却没有使用，自 {{since}}",
        ),
        Text("{hw_id}: money, not an incident.", "{hw_id}：是成本问题，不是故障。"),
        Runbook(
            meaning=Text("A pod has held a device for hours without any activity.", "Pod 占用该卡数小时且无任何活动。"),
            first=Text("In the weekly review: ask the owner to scale down or to share.", "每周复盘时：请负责人缩容或共享。"),
            false_alarm=Text("A warm standby: name it in `signals.allocated_idle.standby`. A night without traffic.", "热备副本：写进 `signals.allocated_idle.standby`；夜间低谷。"),
            next=Text("Devices by pod and their cost on the dashboard.", "看板上按 Pod 的卡数与成本。"),
            dashboard="wk-cost",
        ),
        (
            case("idle for hours", "130m", stated("1x140", "allocated_idle", k8s_namespace_name="ml", k8s_pod_name="spare-0"),
                 fires=fires("info", {**CARD, "k8s_namespace_name": "ml", "k8s_pod_name": "spare-0"}, "1", 0)),
            case("a lunch break", "130m", stated("1x60 0x80", "allocated_idle", k8s_namespace_name="ml", k8s_pod_name="spare-0")),
        ),
        NAMESPACE, POD,
    )  # fmt: skip


def _leak(scope: Scope) -> Alert:
    return _of_signal(
        scope, "WatchkeeperDeviceMemoryLeak", Rule("warning", raised(scope, "memory_leak", 1, NAMESPACE, POD), "5m"),
        Text("Device memory runs full", "显存疑似泄漏"),
        Text(f"Memory of {scope.of_device.en} ({{{NAMESPACE}}}/{{{POD}}}) rises steadily since {{since}}",
             f"{scope.of_device.zh}（{{{NAMESPACE}}}/{{{POD}}}）显存持续上升，自 {{since}}"),
        Text("1: {hw_id} is full within a day, 2: within two hours. Now: {value}.", "1：{hw_id} 一天内占满，2：两小时内占满。当前：{value}。"),
        Runbook(
            meaning=Text("Memory in use rises without more load. When it is full the engine dies.", "负载未增但显存持续上升，占满时引擎会崩溃。"),
            first=Text("Find the process on the device and restart its replicas one after another, before it runs out.", "找到卡上的进程，在占满前逐个重启副本。"),
            false_alarm=Text("Adapters that are loaded while running; the first tooth of a sawtooth of many hours.", "运行中加载的适配器；长周期锯齿的第一个齿。"),
            next=Text("`watchkeeper_device_process_memory_bytes`; attach the plot to an issue of the engine.", "`watchkeeper_device_process_memory_bytes`；把曲线附到引擎的 issue。"),
            dashboard="wk-node",
        ),
        (
            case("full soon", "10m", stated("0x2 2x20", "memory_leak", k8s_namespace_name="ml", k8s_pod_name="chat-0"),
                 fires=fires("warning", {**CARD, "k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}, "2", 180)),
            case("steady", "10m", stated("0x20", "memory_leak", k8s_namespace_name="ml", k8s_pod_name="chat-0")),
        ),
        NAMESPACE, POD,
    )  # fmt: skip
