"""SLO and error budget: how much is left, how fast it goes, what ate it."""

from dashboards.alert import Text
from dashboards.alerts.slo import BAD, BAD_EVENTS, BUDGET_LEFT, OBJECTIVE, error_ratio
from dashboards.grafana.board import Board, Query, Row, falling, lines, rising, stat, table
from dashboards.grafana.fleet import OUTCOMES
from dashboards.grafana.narrow import C_POD, C_SEGMENT, SEGMENT, TO_SERVICE, Narrow
from dashboards.promql import Recorded, one_of
from dashboards.scope import POD, listed
from dashboards.values import Values
from watchkeeper.core.vocabulary import requests

_OF = (*SEGMENT, "slo")


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-slo",
        title=Text("SLO and error budget", "SLO 与错误预算"),
        about=Text("How much budget is left, how fast does it go, what ate it?", "还剩多少预算，消耗多快，被什么消耗？"),
        variables=narrow.variables(*_OF),
        events=narrow.events("versions", "pages", "findings"),
        rows=(_now(narrow), _over_time(narrow), _who(narrow)),
        since="now-24h",
        refresh="5m",
    )  # fmt: skip


def _burn(narrow: Narrow, window: str) -> str:
    on = listed((*narrow.scope.segment, "slo", "sli"))
    return f"{narrow.r(error_ratio(window), _OF)} / on ({on}) (1 - {narrow.r(OBJECTIVE, _OF)})"


def _now(narrow: Narrow) -> Row:
    on = listed((*narrow.scope.segment, "slo"))

    def of(recorded: Recorded, how: str = "max") -> str:
        return f"{how} by ({on}) ({narrow.r(recorded, _OF)})"

    days = f"{narrow.values.budget_days:g}"
    return Row(Text("Now", "当前"), (
        stat(Text("Least budget left", "最低剩余预算"),
             Text(f"The objective that has the least of its error budget left, over {days} days. Good: above 25 %.",
                  f"{days} 天内剩余错误预算最少的目标。正常：高于 25%。"),
             f"min({narrow.r(BUDGET_LEFT, _OF)})", "percentunit", falling(0.25, 0), width=6),
        stat(Text("Fastest burn, 1 h", "最快燃烧率（1 小时）"),
             Text("How many times faster than allowed the budget goes. Good: below 1. Pages from 14.4 on.",
                  "预算消耗速度与允许速度之比。正常：小于 1；达到 14.4 即紧急告警。"),
             f"max({_burn(narrow, '1h')})", "short", rising(6, 14.4), width=6, decimals=2),
        stat(Text("Bad requests, 1 h", "1 小时坏请求"),
             Text("Requests of the last hour that missed an objective. Good: few; below ten nothing pages.",
                  "最近一小时未达目标的请求数。正常：少；少于十个不会紧急告警。"),
             f"sum(sum_over_time({narrow.r(BAD_EVENTS, _OF)['1h']}))", "none", width=6, decimals=0),
        stat(Text("Objectives", "目标数"),
             Text("Objectives that have requests now. Good: all that you set; one that is missing sees no requests.",
                  "当前有请求的目标数。正常：等于所设目标数；缺失说明没有请求。"),
             f"count({narrow.r(OBJECTIVE, _OF)})", "none", width=6),
        table(
            Text("Objectives", "目标一览"),
            Text("Each objective of each service and model. Good: budget green, burn below 1.",
                 "每个服务与模型的每个目标。正常：预算为绿色，燃烧率小于 1。"),
            (*C_SEGMENT, ("slo", Text("Objective", "目标"))),
            Query(of(OBJECTIVE), Text("Promised", "承诺"), unit="percentunit"),
            Query(of(BUDGET_LEFT, "min"), Text("Budget left", "剩余预算"), unit="percentunit", steps=falling(0.25, 0)),
            *(Query(f"max by ({on}) ({_burn(narrow, window)})", Text(f"Burn {window}", f"燃烧率 {window}"),
                    unit="short", steps=rising(1, 14.4)) for window in ("1h", "6h", "3d")),
            height=7, jump=TO_SERVICE, sort=Text("Burn 1h", "燃烧率 1h"),
        ),
    ))  # fmt: skip


def _over_time(narrow: Narrow) -> Row:
    name = "{{service_name}} {{slo}}"
    return Row(Text("Over time", "趋势"), (
        lines(Text("Burn rate, 1 h", "燃烧率 1 小时"),
              Text("Good: below 1. The lines are at 3 (ticket), 6 and 14.4 (pages).",
                   "正常：小于 1。横线为 3（工单）、6 与 14.4（紧急）。"),
              "short", Query(_burn(narrow, "1h"), name),
              steps=((None, "transparent"), (3, "yellow"), (6, "orange"), (14.4, "red")), width=12),
        lines(Text("Burn rate, 6 h", "燃烧率 6 小时"),
              Text("The longer window: what burns slowly and does not stop. Good: below 1, pages from 6 on.",
                   "更长窗口：缓慢而持续的消耗。正常：小于 1，达到 6 即紧急告警。"),
              "short", Query(_burn(narrow, "6h"), name),
              steps=((None, "transparent"), (1, "yellow"), (6, "red")), width=12),
        lines(Text("Budget left", "剩余预算曲线"),
              Text("Good: falls slower than time passes, never below 0.", "正常：下降慢于时间流逝，始终大于 0。"),
              "percentunit", Query(str(narrow.r(BUDGET_LEFT, _OF)), name), low=None, high=1,
              steps=((None, "transparent"), (0, "red")), width=12),
        lines(Text("Bad requests in 5 minutes", "每 5 分钟坏请求"),
              Text("Good: few and scattered. A block that begins at once has one cause: look at the annotations.",
                   "正常：零散少量。突然成片出现通常同一原因：查看注释。"),
              "short", Query(f"sum by (service_name, slo) ({narrow.r(BAD_EVENTS, _OF)})", name), stacked=True, width=12),
    ))  # fmt: skip


def _who(narrow: Narrow) -> Row:
    bad = one_of(*BAD)
    by = listed((*narrow.scope.segment, POD, "outcome"))
    return Row(Text("What ate it", "被谁消耗"), (
        table(
            Text("Failed requests by pod", "按 Pod 的失败请求"),
            Text("The ten worst within the time shown. Good: none stands out; one pod alone is its engine or device.",
                 "所选时段内最差的十项。正常：没有突出者；单个 Pod 突出说明其引擎或加速卡有问题。"),
            (*C_SEGMENT, C_POD, ("outcome", Text("Outcome", "结果"))),
            Query(f"topk(10, sum by ({by}) (increase({narrow.m(requests.REQUESTS, SEGMENT, outcome=bad)['$__range']})))",
                  Text("Requests", "请求数"), unit="short"),
            width=12, jump=TO_SERVICE, sort=Text("Requests", "请求数"),
        ),
        lines(Text("Failures by outcome", "按结果分的失败"),
              Text("Requests a second that burn availability. Good: near 0.", "每秒消耗可用性预算的请求。正常：接近 0。"),
              "reqps", Query(narrow.rate(requests.REQUESTS, SEGMENT, "outcome", outcome=bad), "{{outcome}}"),
              stacked=True, width=12, colors=OUTCOMES),
    ))  # fmt: skip
