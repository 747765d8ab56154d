"""Cost and energy: what does a token cost in money and energy, who uses it, what is wasted."""

from dashboards.alert import Text
from dashboards.alerts.cost import ENERGY
from dashboards.grafana.board import Board, Query, Row, bars, lines, rising, stat, table
from dashboards.grafana.narrow import (
    C_MODEL,
    C_NAMESPACE,
    C_POD,
    C_SERVICE,
    ENGINE,
    RATE,
    SEGMENT,
    TO_POD,
    TO_SERVICE,
    Narrow,
)
from dashboards.promql import one_of
from dashboards.scope import MODEL, NAMESPACE, POD, SERVICE, TENANT
from dashboards.values import Values
from watchkeeper.core.vocabulary import cost, devices, efficiency, engines, requests, signals

_OF = (*SEGMENT, "tenant")
_POD = ("namespace", "pod")


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-cost",
        title=Text("Cost and energy", "成本与能耗"),
        about=Text("What does a token cost in money and energy, who uses it, what is wasted?",
                   "一个 token 花多少钱和能量，谁在用，浪费了什么？"),
        variables=narrow.variables(*ENGINE, "tenant", "currency"),
        events=narrow.events("versions", "findings"),
        rows=(_money(narrow), _who(narrow), _energy(narrow), _waste(narrow)),
        since="now-24h",
        refresh="5m",
    )  # fmt: skip


def _money(narrow: Narrow) -> Row:
    spent = narrow.m(cost.COST, (*_OF, "currency"))
    output = f"sum(increase({narrow.m(requests.TOKENS, _OF, gen_ai_token_type='output')['24h']}))"
    own = narrow.m(efficiency.DEVICE_COST, ("namespace", "currency"))
    budgets = sum(budget.amount for budget in narrow.values.budgets)
    forecast = f"30 * sum by ({narrow.by('currency')}) (increase({spent['1d']}))"
    return Row(Text("Money", "费用"), (
        stat(Text("Calls, 24 h", "24 小时调用费用"),
             Text("By the price list, in units of the currency. Good: as yesterday at the same traffic.",
                  "按价目表，单位为所示货币。正常：同样流量下与昨天相近。"),
             f"sum by ({narrow.by('currency')}) (increase({spent['24h']}))", "short", legend="{{currency}}", decimals=2),
        stat(Text("Devices, 24 h", "24 小时设备费用"),
             Text("What the devices cost that pods have, busy or not. Good: below what their calls bring.",
                  "Pod 占用设备的费用，无论忙闲。正常：低于调用收入。"),
             f"sum by ({narrow.by('currency')}) (increase({own['24h']}))", "short", legend="{{currency}}", decimals=2),
        stat(Text("Forecast, 30 days", "30 天预测"),
             Text("The last day, thirty times." + (" The line is your budgets." if budgets else " Good: within your budget."),
                  "以最近一天推算三十天。正常：不超过预算。"), forecast, "short", rising(budgets) if budgets else
             ((None, "blue"),), legend="{{currency}}", decimals=0),
        stat(Text("Per million output tokens", "每百万输出 token"),
             Text("All of calls' cost over output tokens, last day. Good: flat; it falls when caches hit.",
                  "调用费用与输出 token 之比。正常：平稳；缓存命中会降低。"),
             f"1e6 * sum by ({narrow.by('currency')}) (increase({spent['24h']})) / on ({narrow.by()}) group_left () "
             f"({output} > 0)", "short", legend="{{currency}}", decimals=2),
        stat(Text("Tokens, 24 h", "24 小时 token"), Text("Input and output. Good: as yesterday.", "输入与输出之和。正常：与昨天相近。"),
             f"sum(increase({narrow.m(requests.TOKENS, _OF, gen_ai_token_type=one_of('input', 'output'))['24h']}))",
             "short"),
        stat(Text("Without a price, 24 h", "24 小时无价 token"),
             Text("Tokens for which the price list has nothing: missing in all costs. Good: 0.",
                  "价目表没有价格的 token，所有费用都缺这部分。正常：0。"),
             f"sum(increase({narrow.m(cost.UNPRICED, _OF)['24h']})) or vector(0)", "short", rising(1), decimals=0),
    ))  # fmt: skip


def _who(narrow: Narrow) -> Row:
    by = narrow.by(NAMESPACE, SERVICE, MODEL, TENANT)
    spent = narrow.m(cost.COST, (*_OF, "currency"))
    tokens = narrow.m(requests.TOKENS, _OF, gen_ai_token_type=one_of("input", "output"))
    return Row(Text("Who uses it", "谁在使用"), (
        table(Text("By service, model and tenant, 24 h", "按服务、模型与租户（24 小时）"),
              Text("Good: no tenant that was not there yesterday, none that doubled.",
                   "正常：没有新出现或翻倍的租户。"),
              (C_NAMESPACE, C_SERVICE, C_MODEL, (TENANT, Text("Tenant", "租户")), ("currency", Text("Currency", "货币"))),
              Query(f"sum by ({by}, currency) (increase({spent['24h']}))", Text("Cost", "费用"), unit="short", bar=True),
              width=12, jump=TO_SERVICE, sort=Text("Cost", "费用")),
        lines(Text("Cost an hour, by service", "每小时费用"),
              Text("Good: it follows the traffic.", "正常：随流量变化。"), "short",
              Query(f"3600 * sum by ({SERVICE}, currency) (rate({spent[RATE]}))", "{{service_name}} {{currency}}"),
              stacked=True, width=6),
        bars(Text("Tokens by tenant, 24 h", "租户 token 用量（24 小时）"),
             Text("The ten largest. Good: in yesterday's order.", "用量最大的十个租户。正常：次序与昨天相同。"),
             "short", f"topk(10, sum by ({TENANT}) (increase({tokens['24h']})))", "{{tenant}}", width=6),
    ))  # fmt: skip


def _power(narrow: Narrow) -> str:
    """Watts by pod: of devices that one pod has."""
    card = f"{narrow.card}, {NAMESPACE}, {POD}"
    return f"sum by ({narrow.by(NAMESPACE, POD)}) (max by ({card}) ({narrow.m(devices.POWER, _POD)}))"


def _energy(narrow: Narrow) -> Row:
    used = narrow.m(devices.ENERGY, _POD)
    return Row(Text("Energy", "能耗"), (
        stat(Text("Energy, 24 h", "24 小时能耗"),
             Text("Of the devices; neither hosts nor cooling. Good: as yesterday at the same tokens.",
                  "仅加速卡，不含主机与散热。正常：同样 token 下与昨天相近。"),
             f"sum(increase({used['24h']})) / 3.6e6", "kwatth", width=4, height=8, decimals=1),
        stat(Text("Energy per output token", "每输出 token 能耗"),
             Text("Mean over pods, last hour. Good: flat at the same load; it falls with larger batches.",
                  "最近一小时各 Pod 均值。正常：同负载下平稳；批越大越低。"),
             f"avg({narrow.r(ENERGY, _POD)})", "joule", width=4, height=8, decimals=2),
        lines(Text("Energy per output token", "每输出 token 能耗"),
              Text("By pod. Good: one flat bundle; one pod above has a slow device or little work.",
                   "按 Pod。正常：聚成平稳一束；偏高者卡慢或负载少。"),
              "joule", Query(str(narrow.r(ENERGY, _POD)), "{{k8s_pod_name}}")),
        lines(Text("Power by pod", "各 Pod 功率"), Text("Good: it follows the tokens.", "正常：随 token 变化。"),
              "watt", Query(_power(narrow), "{{k8s_pod_name}}"), stacked=True),
    ))  # fmt: skip


def _waste(narrow: Narrow) -> Row:
    place = narrow.by(NAMESPACE, POD)
    output = narrow.rate(engines.TOKENS, SEGMENT, place, gen_ai_token_type="output")
    given = f"count by ({place}) (max by ({narrow.card}, {NAMESPACE}, {POD}) ({narrow.m(devices.ALLOCATION, _POD)}))"
    idle = narrow.m(signals.STATE, _POD, signal="allocated_idle")
    per_hour = narrow.m(efficiency.DEVICE_COST_PER_TOKEN, ("namespace", "currency"))
    hits = f"sum by ({SERVICE}) (rate({narrow.m(engines.PREFIX_HITS, SEGMENT)['1h']}))"
    asked = f"sum by ({SERVICE}) (rate({narrow.m(engines.PREFIX_QUERIES, SEGMENT)['1h']}))"
    return Row(Text("Efficiency and waste", "效率与浪费"), (
        lines(Text("Output tokens per device", "单卡输出 token"),
              Text("A second and device, by pod. Good: even over pods; low beside high is traffic that is spread badly.",
                   "每卡每秒，按 Pod。正常：各 Pod 均衡；高低悬殊说明分配不均。"),
              "cps", Query(f"{output} / on ({place}) {given}", "{{k8s_pod_name}}")),
        lines(Text("Device cost per million output tokens", "每百万输出 token 设备费用"),
              Text("Good: below what the same model costs elsewhere.", "正常：低于同模型的外部价格。"),
              "short", Query(f"1e6 * max by ({place}, currency) ({per_hour})", "{{k8s_pod_name}} {{currency}}")),
        lines(Text("Prompt read from the cache", "提示词缓存命中"), Text("Good: high where prompts begin alike.",
              "正常：提示词开头相同时较高。"), "percentunit",
              Query(f"{hits} / ({asked} > 0)", "{{service_name}}"), high=1),
        stat(Text("Devices given and idle", "已分配但空闲的卡"),
             Text("Given to a pod that did nothing with them for half an hour. Good: 0.",
                  "分配给 Pod 却半小时无任务。正常：0。"),
             f"count(max by ({narrow.card}) ({idle}) >= 1) or vector(0)", "none", rising(1), width=8, height=6),
        table(Text("Devices by pod", "各 Pod 的卡数"), Text("Good: as deployed.", "正常：与部署一致。"), (C_NAMESPACE, C_POD),
              Query(given, Text("Devices", "卡数"), unit="none"),
              Query(f"{_power(narrow)}", Text("Power", "功率"), unit="watt"), width=16, height=6,
              jump=TO_POD),
    ))  # fmt: skip
