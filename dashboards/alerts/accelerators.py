"""Accelerators: lost and failing hardware. Only what is lost under a running service pages."""

from typing import Final

from dashboards.alert import COUNT, Alert, Rule, Runbook, Text
from dashboards.alerts import accelerator_signals
from dashboards.alerts.accelerator_signals import raised, stated
from dashboards.cases import CARD, case, fires, given
from dashboards.promql import ALERTS_FOR_STATE, like, m, unlike
from dashboards.scope import MODEL, NAMESPACE, POD, SERVICE, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.vocabulary import devices, engines

_PLACED: Final = {**CARD, "k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}
_ENGINE: Final = {
    "k8s_namespace_name": "ml",
    "k8s_pod_name": "chat-0",
    "service_name": "chat",
    "gen_ai_request_model": "qwen",
}


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    return (
        _fatal(scope), _paged(scope, values), _link(scope), _application(scope, values), _uncorrected(scope), _repair(scope), _lost(scope),
        *accelerator_signals.alerts(scope),
    )  # fmt: skip


def _serving(scope: Scope) -> str:
    """
    Each device that a pod has or had a moment ago, with the pod and what it serves; above 0. Of several pods, or models
    with their adapters, the busiest is named: a rule must not fail where there are many, nor name another each time.
    What an engine served is known for hours after it ended: else the page would change its name, and be a second one.
    """
    held = f"max by ({listed((*scope.device, NAMESPACE, POD))}) (last_over_time({m(devices.ALLOCATION, k8s_pod_name=like('.+'))['15m']}))"
    busy = f"sum by ({listed((*scope.pod, SERVICE, MODEL))}) (avg_over_time({m(engines.RUNNING)['6h']}))"
    pod = listed(scope.pod)
    return (
        f"topk by ({listed(scope.device)}) (1,\n  {held}\n  * on ({pod}) group_left ({SERVICE}, {MODEL})\n"
        f"  (1 + topk by ({pod}) (1, {busy}))\n  or\n  {held}\n  unless on ({pod}) {busy}\n)"
    )


def _gone(scope: Scope) -> str:
    """Devices that a fatal fault hit or that cannot be used."""
    by = listed(scope.device)
    return (
        f"  sum by ({by}) (increase({m(devices.FAULTS, severity='critical')['10m']})) > 0\n"
        f"  or\n  max by ({by}) ({m(devices.STATUS, hw_state='failed')}) == 1\n"
        f"  or\n  max by ({by}) ({m(devices.DEVICE_FAULT, reason='lost')}) == 1"
    )


def _fatal(scope: Scope) -> Alert:
    by = listed(scope.device)
    gone = _gone(scope)
    return Alert(
        name="WatchkeeperDeviceFaultFatal",
        area="accelerator",
        rules=(
            Rule(
                "critical",
                f"(\n{gone}\n)\n* on ({by}) group_left ({NAMESPACE}, {POD}, {SERVICE}, {MODEL})\n{_serving(scope)}",
                keep="15m",
            ),
            Rule("warning", f"(\n{gone}\n)\nunless on ({by})\n{_serving(scope)}", keep="15m"),
        ),
        labels=(*scope.device, NAMESPACE, POD, SERVICE, MODEL),
        title=Text("A device is lost or broken", "加速卡致命故障或掉卡"),
        summary=Text(
            f"{scope.of_device.en} ({{hw_id}}) is lost or broken since {{since}}",
            f"{scope.of_device.zh}（{{hw_id}}）掉卡或损坏，自 {{since}}",
        ),
        detail=Text(
            f"Held by pod {{{NAMESPACE}}}/{{{POD}}}, service {{{SERVICE}}}, model {{{MODEL}}} (empty: nobody).",
            f"占用者：Pod {{{NAMESPACE}}}/{{{POD}}}，服务 {{{SERVICE}}}，模型 {{{MODEL}}}（空 = 无人占用）。",
        ),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "The driver reported a fatal fault (XID 79 and its like), or the device cannot be read or used any more."
                " It pages only while a pod has the device; the users' errors that follow are part of this page.",
                "驱动上报了致命故障（如 XID 79），或该卡已无法读取、无法使用。只有被 Pod 占用时才呼叫；由此引起的用户错误并入本告警。",
            ),
            first=Text(
                "`kubectl cordon` the node and delete the pod so that it starts elsewhere. Then do what the driver asks"
                " for (`watchkeeper_device_recovery_action`): reset the device, or reboot the node cold.",
                "`kubectl cordon` 该节点并删除 Pod，让它在别处启动。然后按驱动要求处理"
                "（`watchkeeper_device_recovery_action`）：重置该卡，或冷重启节点。",
            ),
            false_alarm=Text(
                "A planned reset, driver upgrade or repartition without a silence on the node. A pod of a batch job that"
                " crashed by itself gives application faults, which do not come here.",
                "未设静默的计划内重置、驱动升级或切分变更。批处理任务自身崩溃只产生应用类故障，不会进到这里。",
            ),
            next=Text(
                "Codes: `watchkeeper_device_fault_codes_total` of the device; kernel log for `fallen off the bus`. The"
                " same device again within 24 h: replace it.",
                "故障码：该卡的 `watchkeeper_device_fault_codes_total`；内核日志里的 `fallen off the bus`。24 小时内同一张卡再犯：更换。",
            ),
            dashboard="wk-node",
        ),
        cases=(
            case(
                "a device falls off the bus under a serving pod", "12m",
                given(devices.FAULTS, "0x9 1x20", fault_class="bus", severity="critical", **_PLACED),
                given(devices.DEVICE_FAULT, "0x10 1x20", reason="lost", **_PLACED),
                given(devices.ALLOCATION, "1x10", **_PLACED), given(engines.RUNNING, "4x10", **_ENGINE),
                fires=fires("critical", {**CARD, **_ENGINE}, "1", 600),
            ),
            case(
                "the same in a device that nobody has", "12m",
                given(devices.FAULTS, "0x9 1x20", fault_class="bus", severity="critical", **CARD),
                fires=fires("warning", CARD, "1", 600),
            ),
            case(
                "a pod that nobody knows an engine of", "12m",
                given(devices.STATUS, "0x10 1x20", hw_state="failed", **CARD), given(devices.ALLOCATION, "1x30", **_PLACED),
                fires=fires("critical", {**CARD, "k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}, "1", 660),
            ),
            case(
                "a pod that serves a model and its adapter", "12m",
                given(devices.STATUS, "0x10 1x20", hw_state="failed", **CARD), given(devices.ALLOCATION, "1x30", **_PLACED),
                given(engines.RUNNING, "4x30", **_ENGINE), given(engines.RUNNING, "1x30", **_ENGINE | {"gen_ai_request_model": "tuned"}),
                fires=fires("critical", {**CARD, **_ENGINE}, "1", 660),
            ),
            case(
                "faults of the workload", "12m",
                given(devices.FAULTS, "0x9 9x20", fault_class="application", severity="info", **_PLACED),
                given(devices.ALLOCATION, "1x30", **_PLACED), given(engines.RUNNING, "4x30", **_ENGINE),
                given(devices.STATUS, "0x30", hw_state="failed", **CARD), given(devices.DEVICE_FAULT, "0x30", reason="lost", **CARD),
            ),
        ),
    )  # fmt: skip


def _paged(scope: Scope, values: Values) -> Alert:
    seconds = values.thresholds.mute_seconds
    causes = "WatchkeeperDeviceFaultFatal|WatchkeeperEngineStalled"
    begun = f'{ALERTS_FOR_STATE}{{alertname=~"{causes}",severity="critical"}}'
    lost = {**CARD, **_ENGINE}
    gone = (
        given(devices.DEVICE_FAULT, "0x10 1x200", reason="lost", **_PLACED), given(devices.ALLOCATION, "1x210", **_PLACED),
        given(engines.RUNNING, "4x10", **_ENGINE),
    )  # fmt: skip
    return Alert(
        name="WatchkeeperCausePaged",
        area="accelerator",
        rules=(Rule("none", f"time() - {begun} < {seconds:g}"),),
        labels=(*scope.device, NAMESPACE, POD, SERVICE, MODEL),
        title=Text("A cause has paged: its symptoms are muted", "原因已呼叫：其症状被抑制"),
        summary=Text(
            f"Pages about the budgets of {{{MODEL}}} are muted: {{hw_id}} {{{POD}}} has paged, since {{since}}",
            f"已因 {{hw_id}} {{{POD}}} 呼叫，{{{MODEL}}} 的预算告警被抑制，自 {{since}}",
        ),
        detail=Text(
            f"Sent to nobody. It ends after {seconds / 3600:g} hours: what still burns then pages.",
            f"不发给任何人。{seconds / 3600:g} 小时后结束：届时仍在消耗预算就会呼叫。",
        ),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "No alarm: Alertmanager reads it, so that one incident is one page and no cause hides an outage for long.",
                "不是报警：供 Alertmanager 使用，保证一次故障只呼叫一次，且原因不会长时间掩盖故障。",
            ),
            first=Text("Nothing. Work on WatchkeeperDeviceFaultFatal or WatchkeeperEngineStalled.", "无需处理。请处理 WatchkeeperDeviceFaultFatal 或 WatchkeeperEngineStalled。"),
            false_alarm=Text("None.", "无。"),
            next=Text("The value `thresholds.mute_seconds` says for how long.", "时长由 `thresholds.mute_seconds` 决定。"),
            dashboard="wk-service",
        ),
        cases=(
            case("a device was lost a minute ago", "13m", *gone, fires=fires("none", lost, "60", 660)),
            case("it is still lost hours later", "180m", *gone),
        ),
    )  # fmt: skip


def _link(scope: Scope) -> Alert:
    faults = m(devices.FAULTS, fault_class="link", severity=unlike("info"))
    return Alert(
        name="WatchkeeperDeviceFaultLink",
        area="accelerator",
        rules=(
            Rule(
                "warning",
                f"sum by ({listed(scope.device)}) (increase({faults['15m']})) > 0\nor\n{raised(scope, 'link', 1)}",
                keep="30m",
            ),
        ),
        labels=scope.device,
        title=Text("A link between devices fails", "卡间互联故障"),
        summary=Text(f"Links of {scope.of_device.en} fail since {{since}}", f"{scope.of_device.zh}互联链路异常，自 {{since}}"),
        detail=Text(
            "Faults, lost data, lanes or speed on a link of {hw_id}.", "{hw_id} 的链路出现故障、丢数据、降宽或降速。"
        ),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "NVLink, HCCS, xGMI or PCIe of this device loses data or is down. Services on several devices slow down or hang.",
                "该卡的 NVLink、HCCS、xGMI 或 PCIe 丢数据或断开。跨卡服务会变慢或卡死。",
            ),
            first=Text(
                "See whether a service spans several devices here; if users feel it, move it. Look for the same fault at"
                " the other end before you blame a card.",
                "看是否有跨卡服务在此节点；若用户受影响先迁走。先看对端是否有同样故障，再判断是哪张卡。",
            ),
            false_alarm=Text(
                "A training job killed in the middle of a collective leaves errors on its links, once.",
                "训练任务在集合通信途中被杀，会在链路上留下一次性错误。",
            ),
            next=Text(
                "`watchkeeper_device_link_errors_total` by `link` and `error_type`; then the vendor's link diagnostics.",
                "按 `link`、`error_type` 看 `watchkeeper_device_link_errors_total`；再跑厂商链路诊断。",
            ),
            dashboard="wk-node",
        ),
        cases=(
            case("a link fault", "5m", given(devices.FAULTS, "0x2 1x20", fault_class="link", severity="warning", **CARD),
                 fires=fires("warning", CARD, "1", 180)),
            case("the signal says so", "5m", stated("0x2 2x20", "link", link="nvlink"), fires=fires("warning", CARD, "2", 180)),
            case("errors that the link corrects", "5m", stated("0x20", "link", link="nvlink"),
                 given(devices.LINK_ERRORS, "0+3x20", link="nvlink", error_type="crc", **CARD)),
        ),
    )  # fmt: skip


def _application(scope: Scope, values: Values) -> Alert:
    faults = m(devices.FAULTS, fault_class="application")
    return Alert(
        name="WatchkeeperDeviceFaultApp",
        area="accelerator",
        rules=(
            Rule(
                "warning",
                f"sum by ({listed((*scope.device, NAMESPACE, POD))}) (increase({faults['1h']}))"
                f" >= {values.thresholds.application_faults}",
            ),
        ),
        labels=(*scope.device, NAMESPACE, POD),
        title=Text("A workload makes device faults", "应用类设备错误频发"),
        summary=Text(
            f"{{value}} application faults in an hour on {scope.of_device.en}, pod {{{NAMESPACE}}}/{{{POD}}}, since {{since}}",
            f"{scope.of_device.zh}一小时内 {{value}} 次应用类故障，Pod {{{NAMESPACE}}}/{{{POD}}}，自 {{since}}",
        ),
        detail=Text("Most often a mistake of the program, not of {hw_id}.", "多半是程序的问题，不是 {hw_id} 的问题。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "The program on the device touched memory that is not its own or was killed: XID 13, 31, 43, 45, 94.",
                "卡上的程序访问越界或被杀：XID 13、31、43、45、94。",
            ),
            first=Text("Hand it to the owner of the pod and restart its engine.", "转给 Pod 负责人，并重启其引擎。"),
            false_alarm=Text("A developer's machine. XID 45 only follows another fault.", "开发机；XID 45 只是跟随其他故障。"),
            next=Text(
                "The same code on several nodes after a release is software; on one device with several programs it is hardware.",
                "发布后多节点出现同一故障码是软件；同一张卡上不同程序都出现才是硬件。",
            ),
            dashboard="wk-node",
        ),
        cases=(
            case("six in an hour", "30m", given(devices.FAULTS, "0x5 2x5 4x5 6x20", fault_class="application", severity="info", **_PLACED),
                 fires=fires("warning", {**CARD, "k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}, "6", 720)),
            case("a single one", "30m", given(devices.FAULTS, "0x5 1x30", fault_class="application", severity="info", **_PLACED)),
        ),
    )  # fmt: skip


def _uncorrected(scope: Scope) -> Alert:
    errors = m(devices.ERRORS, error_type="uncorrected")
    return Alert(
        name="WatchkeeperDeviceUncorrectedEcc",
        area="accelerator",
        rules=(Rule("warning", f"sum by ({listed(scope.device)}) (increase({errors['15m']})) > 0", keep="1h"),),
        labels=scope.device,
        title=Text("Uncorrected memory errors", "不可纠正 ECC 错误"),
        summary=Text(
            f"Uncorrected memory errors on {scope.of_device.en} since {{since}}", f"{scope.of_device.zh}出现不可纠正 ECC 错误，自 {{since}}"
        ),
        detail=Text("{hw_id} lost data in its memory.", "{hw_id} 的显存丢失了数据。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "Data in the device's memory was lost. The driver kills the program that had it; a fatal fault beside it pages.",
                "显存中的数据已丢失，驱动会杀掉占用它的程序；若同时有致命故障会另行呼叫。",
            ),
            first=Text(
                "Drain the device, see WatchkeeperDeviceRowRemap, and test its memory before it returns to service.",
                "排空该卡，查看 WatchkeeperDeviceRowRemap，回到服务前做显存测试。",
            ),
            false_alarm=Text(
                "A driver that is loaded anew counts from 0: that is no error. A single contained error (XID 94) is over with its process.",
                "驱动重载后计数归零不是错误；单次被隔离的错误（XID 94）随进程结束。",
            ),
            next=Text("`hw_errors_total` of the device over a week; corrected errors that rise before it.", "该卡一周内的 `hw_errors_total`；之前可纠正错误是否上升。"),
            dashboard="wk-node",
        ),
        cases=(
            case("two errors", "8m", given(devices.ERRORS, "0x5 2x20", hw_type="gpu", error_type="uncorrected", **CARD), fires=fires("warning", CARD, "2", 360)),
            case("corrected ones", "8m", given(devices.ERRORS, "0+50x20", hw_type="gpu", error_type="corrected", **CARD),
                 given(devices.ERRORS, "7x20", hw_type="gpu", error_type="uncorrected", **CARD)),
        ),
    )  # fmt: skip


def _repair(scope: Scope) -> Alert:
    by = listed(scope.device)
    return Alert(
        name="WatchkeeperDeviceRowRemap",
        area="accelerator",
        rules=(
            Rule("warning", f"max by ({by}) ({m(devices.REPAIR_FAILED)}) == 1", "5m"),
            Rule("info", f"max by ({by}) ({m(devices.REPAIR_PENDING)}) == 1", "1h"),
        ),
        labels=scope.device,
        title=Text("A memory repair failed or waits", "显存修复失败或待生效"),
        summary=Text(f"Memory repair of {scope.of_device.en} since {{since}}", f"{scope.of_device.zh}显存行重映射异常，自 {{since}}"),
        detail=Text("{hw_id}: a ticket means that the repair failed, info that it waits for a reset.", "{hw_id}：工单表示修复失败，提示表示等待重置。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Bad memory rows cannot be replaced any more, or will be at the next reset.", "坏行已无法再替换，或将在下次重置时替换。"),
            first=Text(
                "Failed: cordon the node and open a replacement case. Pending: plan a drain and a reset of the device.",
                "失败：cordon 节点并走更换流程。待生效：安排排空并重置该卡。",
            ),
            false_alarm=Text("None is usual: the driver counts these itself.", "通常没有误报：由驱动自己统计。"),
            next=Text("`watchkeeper_device_memory_remapped_total` of the device.", "该卡的 `watchkeeper_device_memory_remapped_total`。"),
            dashboard="wk-node",
        ),
        cases=(
            case("failed", "10m", given(devices.REPAIR_FAILED, "0x2 1x20", **CARD), fires=fires("warning", CARD, "1", 180)),
            case("pending", "70m", given(devices.REPAIR_PENDING, "0x2 1x80", **CARD), fires=fires("info", CARD, "1", 180)),
            case("neither", "70m", given(devices.REPAIR_FAILED, "0x80", **CARD), given(devices.REPAIR_PENDING, "0x80", **CARD)),
        ),
    )  # fmt: skip


def _lost(scope: Scope) -> Alert:
    by = listed((*scope.node, "hw_vendor"))
    count = m(devices.DEVICES, hw_state="addressable")
    fewer = f"max by ({by}) (max_over_time({count['1d']})) - max by ({by}) ({count}) > 0"
    device = listed(scope.device)
    unread = (
        f"group by ({device}) (last_over_time({m(devices.ALLOCATION, k8s_pod_name=like('.+'))['2h']}))\n"
        f"unless on ({device}) max by ({device}) ({m(devices.UP)}) == 1"
    )
    return Alert(
        name="WatchkeeperDeviceLost",
        area="accelerator",
        rules=(
            Rule("critical", f"{fewer}\nand on ({by}) group by ({by}) (\n{unread}\n)", "3m"),
            Rule("warning", fewer, "3m"),
        ),
        labels=(*scope.node, "hw_vendor"),
        title=Text("Fewer devices than before", "加速卡数量减少"),
        summary=Text(
            f"{scope.of_node} has {{value}} {{hw_vendor}} devices fewer than today's most, since {{since}}",
            f"节点 {scope.of_node} 比当天最多时少 {{value}} 张 {{hw_vendor}} 卡，自 {{since}}",
        ),
        detail=Text(
            "It pages when one of them was given to a pod within the last two hours.", "其中有两小时内被 Pod 占用过的卡时才呼叫。"
        ),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("The driver counts fewer devices than it did within the last day.", "驱动识别到的卡比过去一天内少。"),
            first=Text(
                "Kernel log: `fallen off the bus`, PCIe errors. Cordon, drain, reboot cold; still missing: reseat or replace.",
                "看内核日志：`fallen off the bus`、PCIe 错误。cordon、排空、冷重启；仍缺失则重新插拔或更换。",
            ),
            false_alarm=Text(
                "Driver upgrade, a device repartitioned (MIG, vNPU) or given to a virtual machine. It ends by itself after a day.",
                "驱动升级、切分变更（MIG、vNPU）或直通给虚拟机。一天后自动恢复。",
            ),
            next=Text("WatchkeeperDeviceFaultFatal on the same node; `watchkeeper_device_info` says which is missing.",
                      "同节点的 WatchkeeperDeviceFaultFatal；用 `watchkeeper_device_info` 找出缺的是哪张。"),
            dashboard="wk-node",
        ),
        cases=(
            case(
                "one of eight goes, a pod had it", "20m",
                given(devices.DEVICES, "8x10 7x20", node="n1", hw_vendor="nvidia", hw_state="addressable"),
                given(devices.ALLOCATION, "1x10", **_PLACED), given(devices.UP, "1x10", **CARD),
                fires=(*fires("critical", {"node": "n1", "hw_vendor": "nvidia"}, "1", 960), *fires("warning", {"node": "n1", "hw_vendor": "nvidia"}, "1", 660)),
            ),
            case(
                "one goes that nobody had", "20m",
                given(devices.DEVICES, "8x10 7x20", node="n1", hw_vendor="nvidia", hw_state="addressable"),
                given(devices.UP, "1x10", **CARD),
                fires=fires("warning", {"node": "n1", "hw_vendor": "nvidia"}, "1", 660),
            ),
            case("all are there", "20m", given(devices.DEVICES, "8x30", node="n1", hw_vendor="nvidia", hw_state="addressable"),
                 given(devices.DEVICES, "4x30", node="n2", hw_vendor="nvidia", hw_state="addressable")),
        ),
    )  # fmt: skip
