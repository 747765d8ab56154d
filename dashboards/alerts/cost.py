"""Tokens, money, energy. Never wakes anybody."""

from typing import Final

from dashboards.alert import Alert, Case, Group, Recording, Rule, Runbook, Text
from dashboards.cases import CARD, CHAT, case, fires, given
from dashboards.promql import Recorded, like, m, one_of, r
from dashboards.scope import NAMESPACE, OF_SEGMENT, POD, SERVICE, TENANT, Scope, listed, scope_of
from dashboards.values import Budget, Values
from watchkeeper.core.vocabulary import cost, devices, engines, requests

ENERGY: Final = Recorded("wk:energy_per_output_token:joules_1h", frozenset((NAMESPACE, POD)))
LEAST_TOKENS_PER_SECOND: Final = 1.0
"""below which energy per token is that of waiting"""
DAYS: Final = 30


def groups(values: Values) -> tuple[Group, ...]:
    by = listed(scope_of(values).pod)
    joules = f"sum by ({by}) (rate({m(devices.ENERGY, k8s_pod_name=like('.+'))['1h']}))"
    tokens = f"sum by ({by}) (rate({m(engines.TOKENS, gen_ai_token_type='output')['1h']}))"
    return (
        Group("watchkeeper-cost-recorded", (Recording(ENERGY, f"{joules}\n/\n({tokens} > {LEAST_TOKENS_PER_SECOND:g})"),)),
    )  # fmt: skip


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    budget = (_budget(scope, values),) if values.budgets else ()
    return (_tokens(scope, values), *budget, _energy(scope, values), _unpriced(scope))


def _tokens(scope: Scope, values: Values) -> Alert:
    labels = (*scope.extra, NAMESPACE, SERVICE, TENANT)
    used = m(requests.TOKENS, gen_ai_token_type=one_of("input", "output"))
    now = f"sum by ({listed(labels)}) (increase({used['1h']}))"
    limits = values.thresholds
    expr = f"{now}\n> {limits.token_rise:g} * sum by ({listed(labels)}) (increase({used['1h']} offset 1w))\nand\n{now} > {limits.least_tokens}"
    return Alert(
        name="WatchkeeperTokenSpendAnomaly",
        area="cost",
        rules=(Rule("warning", expr, "30m"),),
        labels=labels,
        title=Text("A tenant uses far more tokens", "token 用量异常"),
        summary=Text(f"{{{NAMESPACE}}}/{{{SERVICE}}}: tenant {{{TENANT}}} used {{value}} tokens in an hour, since {{since}}", f"{{{NAMESPACE}}}/{{{SERVICE}}}：租户 {{{TENANT}}} 一小时用了 {{value}} token，自 {{since}}"),
        detail=Text(f"More than {limits.token_rise:g} times the same hour last week.", f"超过上周同一小时的 {limits.token_rise:g} 倍。"),
        show="{{ $value | humanize }}",
        runbook=Runbook(
            meaning=Text("Somebody's use has multiplied within a week.", "某租户用量在一周内成倍增长。"),
            first=Text("Is it an agent in a loop (output at the limit, the same prompt again and again)? Throttle that key and tell its owner.", "是否智能体死循环（输出顶满、提示重复）？限流该密钥并通知负责人。"),
            false_alarm=Text("A batch job; a holiday last week; a customer who grows. New tenants have no week before and do not come here.", "批处理；上周是假期；客户正常增长。新租户没有上周数据，不会告警。"),
            next=Text("Tokens by tenant and model; requests in number or in size?", "按租户和模型看 token；是次数多了还是单次变大？"),
            dashboard="wk-cost",
        ),
        cases=(
            case("five times last week's", "10150m", given(requests.TOKENS, "0+20000x9960 199200000+100000x240", gen_ai_token_type="output", tenant="acme", **CHAT),
                 fires=fires("warning", {"k8s_namespace_name": "ml", "service_name": "chat", "tenant": "acme"}, "6M", 604_860)),
            case("a new tenant", "190m", given(requests.TOKENS, "0+100000x240", gen_ai_token_type="output", tenant="new", **CHAT)),
        ),
    )  # fmt: skip


def _forecast(budget: Budget, labels: tuple[str, ...]) -> str:
    whose = {NAMESPACE: like(budget.namespace)} if budget.namespace else {}
    spent = m(cost.COST, currency=budget.currency, **whose)
    return f"{DAYS} * sum by ({listed(labels)}) (increase({spent['1d']})) > {budget.amount:g}"


def _budget(scope: Scope, values: Values) -> Alert:
    labels = (*scope.extra, NAMESPACE, "currency")
    expr = "\nor\n".join(
        _forecast(one, labels if one.namespace else (*scope.extra, "currency")) for one in values.budgets
    )
    return Alert(
        name="WatchkeeperCostBudgetForecast",
        area="cost",
        rules=(Rule("info", expr, "6h"),),
        labels=labels,
        title=Text("The month will cost more than its budget", "成本预算预测超支"),
        summary=Text(f"{{{NAMESPACE}}} is on the way to {{value}} {{currency}} a month, since {{since}}", f"{{{NAMESPACE}}} 按当前速度每月 {{value}} {{currency}}，自 {{since}}"),
        detail=Text("Today's cost, thirty times.", "今日成本乘以三十。"),
        show="{{ $value | humanize }}",
        runbook=Runbook(
            meaning=Text("At today's pace the month's budget does not last.", "照今天的速度，本月预算不够。"),
            first=Text("Working hours: send the forecast with the three dearest services to the budget's owner.", "工作时间：把预测和最贵的三个服务发给预算负责人。"),
            false_alarm=Text("An old price list; one dear day.", "价目表过期；偶然的一天高消费。"),
            next=Text("Cost by service and model on the dashboard.", "看板上按服务和模型的成本。"),
            dashboard="wk-cost",
        ),
        cases=_budget_cases(values.budgets[0]),
    )  # fmt: skip


def _budget_cases(budget: Budget) -> tuple[Case, ...]:
    """A hundredth of the budget a minute is 432 budgets a month."""
    who = {"currency": budget.currency, "gen_ai_token_type": "input", **CHAT}
    labels = {"currency": budget.currency} | ({NAMESPACE: "ml"} if budget.namespace else {})
    return (
        case("the budget is gone in two hours", "31h", given(cost.COST, f"0+{budget.amount / 100:g}x2000", **who),
             fires=fires("info", labels, f"{0.432 * budget.amount:g}k", 240)),
        case("half of it in a month", "31h", given(cost.COST, f"0+{budget.amount / 86_400:g}x2000", **who)),
    )  # fmt: skip


def _energy(scope: Scope, values: Values) -> Alert:
    rise = values.thresholds.energy_rise
    return Alert(
        name="WatchkeeperEnergyPerTokenRegression",
        area="cost",
        rules=(Rule("info", f"{r(ENERGY)} > {rise:g} * quantile_over_time(0.5, {r(ENERGY)['7d']} offset 1h)", "2h"),),
        labels=scope.pod,
        title=Text("A token takes more energy than before", "单位 token 能耗劣化"),
        summary=Text(f"{{{NAMESPACE}}}/{{{POD}}}: {{value}} J per output token since {{since}}", f"{{{NAMESPACE}}}/{{{POD}}}：每个输出 token {{value}} J，自 {{since}}"),
        detail=Text(f"More than {rise:g} times its week's median; devices alone, without host and cooling.", f"超过一周中位数的 {rise:g} 倍；仅加速卡，不含主机和制冷。"),
        runbook=Runbook(
            meaning=Text("The same tokens cost more energy, so more money.", "同样的 token 消耗更多能量和成本。"),
            first=Text("Compare the batch size first: few requests at a time make each token 6 to 19 times dearer, by physics.", "先比较批次：并发低时每 token 贵 6 到 19 倍，这是物理规律。"),
            false_alarm=Text("A night with little traffic; devices that several pods share.", "流量低的夜晚；多个 Pod 共享的卡。"),
            next=Text("At the same load: engine or driver version, prefix-cache hits, WatchkeeperDeviceStraggler.", "负载相同时：引擎或驱动版本、前缀缓存命中、WatchkeeperDeviceStraggler。"),
            dashboard="wk-cost",
        ),
        cases=(
            case("twice as much", "7h", *_energised("0+12000x180 2160000+30000x300"), fires=fires("info", {"k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}, "5", 12_120)),
            case("as always", "7h", *_energised("0+12000x500")),
            case("a pod that idles", "7h", given(devices.ENERGY, "0+6000x500", **CARD, k8s_namespace_name="ml", k8s_pod_name="chat-0")),
        ),
    )  # fmt: skip


def _energised(joules: str) -> tuple[tuple[str, str], ...]:
    pod = {"k8s_namespace_name": "ml", "k8s_pod_name": "chat-0"}
    return (
        given(devices.ENERGY, joules, **CARD, **pod),
        given(engines.TOKENS, "0+6000x500", gen_ai_token_type="output", **CHAT, k8s_pod_name="chat-0"),
    )


def _unpriced(scope: Scope) -> Alert:
    by = listed(scope.segment)
    return Alert(
        name="WatchkeeperCostUnpriced",
        area="cost",
        rules=(Rule("info", f"sum by ({by}) (increase({m(cost.UNPRICED)['1h']})) > 0", "1h"),),
        labels=scope.segment,
        title=Text("Tokens without a price", "有 token 没有价格"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} tokens an hour have no price since {{since}}", f"{OF_SEGMENT.zh}：每小时 {{value}} 个 token 没有价格，自 {{since}}"),
        detail=Text("They are missing in the cost.", "成本中缺少这部分。"),
        show="{{ $value | humanize }}",
        runbook=Runbook(
            meaning=Text("A model is used that the price list does not know: the sums are too low.", "使用了价目表里没有的模型：成本合计偏低。"),
            first=Text("Add a line for the model to `cost.prices`.", "在 `cost.prices` 里为该模型加一行。"),
            false_alarm=Text("A model of your own that costs nothing by the token: give it the price 0.", "自有模型按 token 不计费：写价格 0。"),
            next=Text("docs/cost.md: how names are matched.", "docs/cost.md：名称如何匹配。"),
            dashboard="wk-cost",
        ),
        cases=(
            case("a model that is not listed", "100m", given(cost.UNPRICED, "0+10x120", gen_ai_token_type="input", **CHAT), fires=fires("info", CHAT, "600", 60)),
            case("all have a price", "100m", given(cost.COST, "0+1x120", gen_ai_token_type="input", currency="EUR", **CHAT)),
        ),
    )  # fmt: skip
