"""What can go wrong in the estate, one at a time. Each turns knobs of `Conditions` from the onset on."""

from collections.abc import Callable
from typing import Final

import msgspec

from dashboards.alert import Text
from dashboards.estate.conditions import Conditions, Reported


class Fault(msgspec.Struct, frozen=True):
    name: str
    words: Text
    begin: Callable[[Conditions], None]
    alert: str
    """that names it, without the prefix; it has to be heard of"""
    minutes: float
    """after the onset within which that alert fires"""


def _device_lost(it: Conditions) -> None:
    """The card of the first replica falls off the bus; its engine fails everything for a minute, then is gone."""
    it.lost[0] = it.clock.since()
    it.reported.append(Reported(0, 0.0, "bus", "79", "critical"))
    it.failing[0] = it.clock.since() * 0.97
    it.gone[0] = it.clock.since(60.0)
    it.drift["error"] = it.clock.since(120.0) * 3.0


def _overheating(it: Conditions) -> None:
    """The cooling of the second node fails: its four cards become hot and slow."""
    hot = it.clock.since(ramp=600.0)
    for device in range(4, 8):
        it.heat[device] = hot * 24.0
        it.held[device]["hw_thermal_slowdown"] = it.clock.since(300.0, 300.0) * 0.7
    for replica in (2, 3):
        it.slow[replica] = 1 + it.clock.since(300.0, 600.0) * 0.75


def _power_brake(it: Conditions) -> None:
    for device in range(4):
        it.held[device]["hw_power_brake_slowdown"] = it.clock.since() * 0.9
    for replica in (0, 1):
        it.slow[replica] = 1 + it.clock.since() * 0.8


def _memory_errors(it: Conditions) -> None:
    """A card's memory errs; the engine on it restarts once."""
    it.uncorrected[3] = it.clock.since() * 0.002
    it.reported.append(Reported(3, 30.0, "memory", "94", "warning"))
    it.gone[1] = it.clock.since(60.0) - it.clock.since(300.0)


def _link_errors(it: Conditions) -> None:
    for device in (4, 5):
        it.link_errors[device] = it.clock.since() * 3.0
    it.reported.append(Reported(4, 60.0, "link", "74", "warning"))
    it.slow[2] = 1 + it.clock.since(ramp=120.0) * 0.4


def _overload(it: Conditions) -> None:
    it.traffic = 1 + it.clock.since(ramp=600.0) * 1.6


def _long_prompts(it: Conditions) -> None:
    """An application begins to send whole documents."""
    longer = it.clock.since(ramp=900.0)
    it.input_length = 1 + longer * 4.0
    it.drift["input_tokens"] = longer * 4.0
    it.drift["time_to_first_token"] = longer * 2.0


def _engine_hangs(it: Conditions) -> None:
    it.hung[3] = it.clock.since()


def _bad_deployment(it: Conditions) -> None:
    """A new release of the service fails one request in eight."""
    it.failing = [it.clock.since(ramp=120.0) * 0.12 for _ in it.failing]
    it.drift["error"] = it.clock.since(300.0) * 4.0


def _new_model(it: Conditions) -> None:
    """A new version of the model is rolled out: it declines more and says less."""
    share = it.clock.since(ramp=1200.0)
    it.new_version = share
    it.flagged["refusal"] = 0.015 + share * 0.06
    it.output_length = 1 - share * 0.35
    it.drift["refusal"] = share * 3.0
    it.drift["output_tokens"] = share * -2.5
    it.drift["watchkeeper.output.compression"] = share * 2.0


def _loops(it: Conditions) -> None:
    """Answers of one broken template run in circles to their limit."""
    share = it.clock.since(ramp=180.0)
    it.flagged["tail_loop"] = 0.003 + share * 0.2
    it.flagged["repetition"] = 0.02 + share * 0.2
    it.flagged["truncation"] = 0.02 + share * 0.2
    it.output_length = 1 + share * 0.6
    it.drift["output_tokens"] = share * 3.0


def _leak(it: Conditions) -> None:
    it.flagged["secrets"] = it.clock.since() * 0.01


def _records_stop(it: Conditions) -> None:
    it.link_silent = it.clock.since()


def _agent_away(it: Conditions) -> None:
    it.agent_away[1] = it.clock.since()


def _checks_fail(it: Conditions) -> None:
    it.checks_fail = it.clock.since() * 0.6


FAULTS: Final = (
    Fault("device-lost", Text("a card falls off the bus", "一张卡掉卡"), _device_lost, "DeviceFaultFatal", 2),
    Fault("overheating", Text("a node's cooling fails", "一个节点散热失效"), _overheating, "DeviceThermalThrottle", 20),
    Fault(
        "power-brake", Text("the power supply brakes a node", "电源对节点限功率"), _power_brake, "DevicePowerBrake", 10
    ),
    Fault("memory-errors", Text("a card's memory errs", "一张卡显存出错"), _memory_errors, "DeviceUncorrectedEcc", 2),
    Fault("link-errors", Text("a link between two cards errs", "两卡之间链路出错"), _link_errors, "DeviceFaultLink", 5),
    Fault("overload", Text("traffic grows 2.6 times", "流量增至 2.6 倍"), _overload, "AvailabilityBudgetBurn", 15),
    Fault(
        "long-prompts",
        Text("prompts become five times longer", "提示词变长五倍"),
        _long_prompts,
        "AvailabilityBudgetBurn",
        20,
    ),
    Fault("engine-hangs", Text("an engine hangs", "一个推理引擎挂起"), _engine_hangs, "EngineStalled", 5),
    Fault(
        "bad-deployment",
        Text("one request in eight fails", "八分之一的请求失败"),
        _bad_deployment,
        "AvailabilityBudgetBurn",
        40,
    ),
    Fault(
        "new-model", Text("a new model version declines more", "新模型版本更多拒答"), _new_model, "DriftDetected", 20
    ),
    Fault("loops", Text("answers run in circles", "回答陷入循环"), _loops, "DegenerateOutput", 20),
    Fault("leak", Text("answers contain secrets", "回答泄露密钥"), _leak, "SensitiveDataLeak", 2),
    Fault(
        "records-stop", Text("records of calls stop arriving", "调用记录停止到达"), _records_stop, "DataLinkStalled", 10
    ),
    Fault(
        "agent-away",
        Text("watchkeeper on a node is gone", "一个节点上的 watchkeeper 消失"),
        _agent_away,
        "AgentDown",
        12,
    ),
    Fault("checks-fail", Text("the safety checks fail", "安全检测失败"), _checks_fail, "GuardrailBlind", 15),
)
