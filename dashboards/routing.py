"""
Alertmanager: one incident is one page.

A cause that pages by itself (a device lost under a pod, an engine that hangs) is there minutes before any budget burns,
and says more: it mutes the pages about budgets of the same model. Every page about a model mutes the tickets about it.
Rules are read with labels that are absent on both sides as equal, so that a source always names what it is about.
"""

from typing import Any, Final

from dashboards.alerts.monitor import HEARTBEAT
from dashboards.durations import duration
from dashboards.rule_files import text_of
from dashboards.scope import MODEL, NAMESPACE, SERVICE
from dashboards.values import Values

PAGER, TICKETS, HARDWARE, GOVERNANCE, COST, DEADMAN, NOBODY = (
    "pager", "tickets", "hardware", "governance", "cost", "deadman", "nobody",
)  # fmt: skip
OURS: Final = 'component="watchkeeper"'
_TICKET: Final = 'severity=~"warning|info"'
_PAGE: Final = 'severity="critical"'
_NODE_DOWN: Final = 'alertname=~"KubeNodeNotReady|KubeNodeUnreachable"'
"""of the cluster's own rules (kubernetes-mixin)"""
_MODEL_KNOWN: Final = f'{MODEL}!=""'


def file(values: Values) -> str:
    return text_of(document(values))


def document(values: Values) -> dict[str, Any]:
    """Alertmanager's configuration."""
    return {"route": _route(values), "inhibit_rules": _inhibited(values), "receivers": _receivers(values)}


def _route(values: Values) -> dict[str, Any]:
    waits, extra = values.waits, values.extra_labels
    service = [*extra, NAMESPACE, SERVICE, MODEL]
    page = {"group_wait": duration(waits.page_seconds), "repeat_interval": duration(waits.repeat_seconds)}
    day = {"repeat_interval": "1d"}
    return {
        "receiver": TICKETS,
        "group_by": service,
        "group_wait": duration(waits.ticket_seconds),
        "group_interval": duration(waits.update_seconds),
        "repeat_interval": "1d",
        "routes": [
            {
                "matchers": [f'alertname="{HEARTBEAT}"'],
                "receiver": DEADMAN,
                "group_wait": "0s",
                "group_interval": "1m",
                "repeat_interval": "1m",
            },
            {"matchers": [_PAGE, 'area="output"'], "receiver": GOVERNANCE, **page, "continue": True},
            {
                "matchers": [_PAGE, 'area="accelerator"'],
                "receiver": PAGER,
                "group_by": _group([*extra, "area"]),
                **page,
            },
            {"matchers": [_PAGE], "receiver": PAGER, **page},
            {"matchers": ['severity=~"info|none"', 'area!="cost"'], "receiver": NOBODY},
            {
                "matchers": ['area="accelerator"'],
                "receiver": HARDWARE,
                "group_by": _group([*extra, values.node_label]),
                **day,
            },
            {"matchers": ['area=~"output|data_drift"'], "receiver": GOVERNANCE, **day},
            {
                "matchers": ['area="cost"'],
                "receiver": COST,
                "group_by": _group([*extra, NAMESPACE]),
                "group_wait": "1h",
                # below the 5 days (--data.retention) after which Alertmanager forgets what it told and tells it again
                "repeat_interval": "4d",
            },
        ],
    }


def _group(labels: list[str]) -> list[str]:
    return list(dict.fromkeys(labels))


def _inhibited(values: Values) -> list[dict[str, Any]]:
    extra, node = list(values.extra_labels), values.node_label
    model, segment = [*extra, MODEL], [*extra, NAMESPACE, SERVICE, MODEL]
    same = ["alertname", *segment, "slo", node, "hw_vendor", "hw_id", "check"]

    def rule(source: list[str], target: list[str], equal: list[str]) -> dict[str, Any]:
        return {"source_matchers": [OURS, *source], "target_matchers": [OURS, *target], "equal": equal}

    lost = 'alertname="WatchkeeperDeviceFaultFatal"'
    return [
        # the page mutes the ticket of the same thing
        rule([_PAGE], [_TICKET], same),
        # cluster over node: a node that is down explains what is silent on it
        {
            "source_matchers": [_NODE_DOWN],
            "target_matchers": [OURS, _TICKET, 'area=~"accelerator|monitor"'],
            "equal": [*extra, node],
        },
        # cluster over node: all of watchkeeper gone explains every silence
        rule(
            ['alertname="WatchkeeperAgentDown"', _PAGE],
            [
                'alertname=~"Watchkeeper(AgentDown|CollectorDown|EngineUnreadable|SliAbsent|DetectorStalled|DataLinkStalled)"',
                _TICKET,
            ],
            extra,
        ),
        # node over device
        rule(
            ['alertname="WatchkeeperAgentDown"', f'{node}!=""'],
            ['alertname="WatchkeeperCollectorDown"'],
            [*extra, node],
        ),
        # a lost device explains the count of devices, and what ails its node
        rule([lost, _PAGE], ['alertname="WatchkeeperDeviceLost"', _PAGE], [*extra, node]),
        rule([_PAGE, 'area="accelerator"'], [_TICKET, 'area="accelerator"'], [*extra, node]),
        # clocks that heat or a power brake holds back explain a device that is slower than its peers
        rule(
            ['alertname=~"WatchkeeperDevice(ThermalThrottle|PowerBrake)"'],
            ['alertname="WatchkeeperDeviceStraggler"'],
            [*extra, node, "hw_vendor", "hw_id"],
        ),
        # a cause that has paged explains the budget of the same model, for some hours
        rule([lost, _PAGE, _MODEL_KNOWN], [_PAGE, 'area="saturation"'], model),
        rule(['alertname="WatchkeeperCausePaged"', _MODEL_KNOWN], [_PAGE, 'area="slo"'], model),
        # of three symptoms the worst
        rule(
            ['alertname="WatchkeeperAvailabilityBudgetBurn"', _PAGE],
            ['alertname=~"Watchkeeper(Ttft|Tpot)BudgetBurn"', _PAGE],
            segment,
        ),
        rule(
            ['alertname="WatchkeeperTtftBudgetBurn"', _PAGE], ['alertname="WatchkeeperTpotBudgetBurn"', _PAGE], segment
        ),
        # symptom over cause: a page about a model mutes every ticket about it
        rule(
            [_PAGE, 'area=~"slo|saturation|accelerator"', _MODEL_KNOWN],
            [_TICKET, 'area=~"slo|saturation|data_drift|output|monitor"'],
            model,
        ),
        # many signals are one drift
        rule(['alertname="WatchkeeperDriftBroad"'], ['alertname="WatchkeeperDriftDetected"'], segment),
        # who is blind does not judge
        rule(['alertname="WatchkeeperGuardrailBlind"', _PAGE, _MODEL_KNOWN], [_TICKET, 'area="output"'], segment),
        rule(
            ['alertname="WatchkeeperDataLinkStalled"', _MODEL_KNOWN],
            ['alertname=~"Watchkeeper(DetectorStalled|DataQuality|DriftDetected|DriftBroad)"'],
            segment,
        ),
    ]


def _receivers(values: Values) -> list[dict[str, Any]]:
    urls = {
        PAGER: values.receivers.pager, TICKETS: values.receivers.tickets, HARDWARE: values.receivers.hardware,
        GOVERNANCE: values.receivers.governance, COST: values.receivers.cost, DEADMAN: values.receivers.deadman,
        NOBODY: "",
    }  # fmt: skip
    return [{"name": name, **({"webhook_configs": [{"url": url}]} if url else {})} for name, url in urls.items()]
