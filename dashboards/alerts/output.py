"""What models say: safety pages, quality is a ticket."""

from typing import Final

from dashboards.alert import COUNT, PERCENT, Alert, Group, Recording, Rule, Runbook, Text
from dashboards.cases import CHAT, case, fires, given
from dashboards.promql import Recorded, grown, m, one_of, r
from dashboards.scope import MODEL, NAMESPACE, OF_SEGMENT, SERVICE, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.vocabulary import outputs, requests

UNSAFE: Final = ("unsafe", "classifier")
DEGENERATE: Final = ("tail_loop", "empty", "mojibake", "reasoning_loop")
PERSONAL: Final = "pii"
SAFETY: Final = ("secrets", "pii", *UNSAFE)
"""checks without which nobody knows whether answers are safe"""
REFUSALS: Final = Recorded("wk:refusal:ratio_rate1h", frozenset((NAMESPACE, SERVICE, MODEL)))


def groups(values: Values) -> tuple[Group, ...]:
    by = listed(scope_of(values).segment)
    flagged, checked = (
        f"sum by ({by}) (increase({m(metric, check='refusal')['1h']}))" for metric in (outputs.FLAGGED, outputs.CHECKED)
    )
    ratio = f"{flagged}\n/\n({checked} > {values.thresholds.least_answers})"
    return (Group("watchkeeper-output-recorded", (Recording(REFUSALS, ratio),)),)


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    return (
        _unsafe(scope, values), _leak(scope, values), _personal(scope, values), _degenerate(scope, values),
        _refusals(scope, values), _blind(scope, values),
    )  # fmt: skip


def _share(labels: tuple[str, ...], window: str, least: int, *checks: str) -> str:
    """Share of marked answers, where enough were looked at."""
    by = listed(labels)
    flagged, checked = (
        f"sum by ({by}) (increase({m(metric, check=one_of(*checks))[window]}))"
        for metric in (outputs.FLAGGED, outputs.CHECKED)
    )
    return f"{flagged}\n/\n({checked} > {least})"


def _answers(checked: str, flagged: str, check: str, **labels: str) -> tuple[tuple[str, str], ...]:
    who = CHAT | labels | {"check": check}
    return given(outputs.CHECKED, checked, **who), given(outputs.FLAGGED, flagged, **who)


def _unsafe(scope: Scope, values: Values) -> Alert:
    labels = (*scope.segment, "check")
    limits = values.thresholds
    return Alert(
        name="WatchkeeperUnsafeOutputRate",
        area="output",
        rules=(Rule("warning", f"{_share(labels, '1h', limits.least_answers, *UNSAFE)}\n> {limits.unsafe_share:g}", "10m"),),
        labels=labels,
        title=Text("Unsafe answers", "不安全输出率超限"),
        summary=Text(f"{OF_SEGMENT.en}: {{check}} marks {{value}} of answers since {{since}}", f"{OF_SEGMENT.zh}：{{check}} 标记 {{value}} 的回答，自 {{since}}"),
        detail=Text(f"The limit is {limits.unsafe_share:.1%}. A mark on one answer is no fact about it; the share is.", f"上限 {limits.unsafe_share:.1%}。单个标记不是定论，比例才是。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("The share of answers that the check takes for unsafe is above what policy allows.", "被判为不安全的回答比例超过策略上限。"),
            first=Text("Read ten answers (masked) and decide: the model got worse, somebody attacks it, or the check is wrong. Then roll back, block the tenant, or tune.", "抽读十条（脱敏）：模型退化、有人攻击、还是检查误判；对应回滚、封禁租户或调参。"),
            false_alarm=Text("A new version of the classifier shifts its base rate. Fiction, medicine, security research.", "分类器升级改变基准率；小说、医学、安全研究类内容。"),
            next=Text("By tenant, and `injection` of the same time.", "按租户看；同时段的 `injection`。"),
            dashboard="wk-output",
        ),
        cases=(
            case("one in twenty", "80m", *_answers("0+20x90", "0+1x90", "unsafe"), fires=fires("warning", CHAT | {"check": "unsafe"}, "5%", 660)),
            case("one in a thousand", "80m", *_answers("0+1000x90", "0+1x90", "unsafe")),
            case("two of three answers", "80m", *_answers("0x70 3x20", "0x70 2x20", "unsafe")),
        ),
    )  # fmt: skip


def _leak(scope: Scope, values: Values) -> Alert:
    labels = (*scope.segment, "check")
    by = listed(labels)

    canary, secrets = m(outputs.FLAGGED, check="canary"), m(outputs.FLAGGED, check="secrets")
    expr = f"{grown(canary, by, '15m')} > 0\nor\n{grown(secrets, by, '15m')} >= {values.thresholds.leaked_secrets}"
    return Alert(
        name="WatchkeeperSensitiveDataLeak",
        area="output",
        rules=(Rule("critical", expr, keep="30m"),),
        labels=labels,
        title=Text("Secrets in answers", "敏感信息泄露"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} answers with {{check}} since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 条回答含 {{check}}，自 {{since}}"),
        detail=Text("canary: your own string that must never come out; one is enough. secrets: keys and tokens of a published form.", "canary：你设置的、绝不该出现的字符串，一次即告警；secrets：已知格式的密钥和令牌。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Somebody outside may be reading what must stay inside, right now.", "外部人员此刻可能正在读到内部信息。"),
            first=Text("Page security. Block the response path or switch redaction on; keep the records; note the time for the incident report.", "呼叫安全团队。切断回答通路或启用脱敏；保留记录；记下时间用于上报。"),
            false_alarm=Text("Test keys in documentation and code examples; a user's own key that is repeated to them.", "文档和示例代码里的测试密钥；用户自己的密钥被复述。"),
            next=Text("By tenant and kind: `watchkeeper_output_hits_total`; `injection` of the same time.", "按租户和种类：`watchkeeper_output_hits_total`；同时段的 `injection`。"),
            dashboard="wk-output",
        ),
        cases=(
            case("a canary, the first ever", "30m", given(outputs.FLAGGED, "_x20 1x20", check="canary", **CHAT), fires=fires("critical", CHAT | {"check": "canary"}, "1", 1200)),
            case("four secrets", "20m", given(outputs.FLAGGED, "0x5 4x40", check="secrets", **CHAT), fires=fires("critical", CHAT | {"check": "secrets"}, "4", 360)),
            case("a single secret", "20m", given(outputs.FLAGGED, "0x5 1x40", check="secrets", **CHAT)),
            case("a canary of yesterday", "80m", given(outputs.FLAGGED, "1x90", check="canary", **CHAT)),
            case("a gap in scraping after a canary of yesterday", "80m", given(outputs.FLAGGED, "1x40 _x15 1x40", check="canary", **CHAT)),
        ),
    )  # fmt: skip


def _personal(scope: Scope, values: Values) -> Alert:
    limits = values.thresholds
    return Alert(
        name="WatchkeeperPersonalDataRate",
        area="output",
        rules=(Rule("warning", f"{_share(scope.segment, '1h', limits.least_answers, PERSONAL)}\n> {limits.personal_data_share:g}", "10m"),),
        labels=scope.segment,
        title=Text("Personal data in answers", "回答中的个人信息"),
        summary=Text(f"{OF_SEGMENT.en}: personal data in {{value}} of answers since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 的回答含个人信息，自 {{since}}"),
        detail=Text(f"The limit is {limits.personal_data_share:.1%}: resident IDs, mobiles, bank cards, mail addresses.", f"上限 {limits.personal_data_share:.1%}：身份证、手机号、银行卡、邮箱。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("More answers than usual carry data about people.", "含个人信息的回答多于平常。"),
            first=Text("Look which kinds rose. If they do not come from the user's own prompt, switch redaction on and tell the data protection officer.", "看哪一类上升；若不来自用户自己的输入，启用脱敏并通知个人信息保护负责人。"),
            false_alarm=Text("Long numbers that pass a checksum; a service whose work it is (mail, orders).", "恰好通过校验的长数字；本职就处理这些数据的服务（邮件、订单）。"),
            next=Text("`watchkeeper_output_hits_total` by kind; `pii_prompt` of the same time.", "按种类看 `watchkeeper_output_hits_total`；同时段的 `pii_prompt`。"),
            dashboard="wk-output",
        ),
        cases=(
            case("one in ten", "80m", *_answers("0+20x90", "0+2x90", PERSONAL), fires=fires("warning", CHAT, "10%", 660)),
            case("one in a thousand", "80m", *_answers("0+1000x90", "0+1x90", PERSONAL)),
        ),
    )  # fmt: skip


def _degenerate(scope: Scope, values: Values) -> Alert:
    labels = (*scope.segment, "check")
    limits = values.thresholds
    return Alert(
        name="WatchkeeperDegenerateOutput",
        area="output",
        rules=(Rule("critical", f"{_share(labels, '15m', max(50, limits.least_answers // 4), *DEGENERATE)}\n> {limits.degenerate_share:g}", "10m"),),
        labels=labels,
        title=Text("Answers are garbage", "输出退化（重复、乱码、空）"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} of answers marked {{check}} since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 的回答被标记 {{check}}，自 {{since}}"),
        detail=Text("Loops, nothing at all, or damaged characters.", "循环重复、空回答或乱码。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("Users read loops, blanks or garbage. Status and latency look well.", "用户看到的是重复、空白或乱码，而状态码和时延都正常。"),
            first=Text("One pod stands out: take it out of rotation at once (damaged memory, a bad kernel). All pods: roll back model, template or engine.", "某个 Pod 突出：立即摘流（显存损坏、算子错误）；全部：回滚模型、模板或引擎。"),
            false_alarm=Text("A small model loops in 2 to 3 % of ordinary answers: raise `degenerate_share`. Prompts that ask for repetition.", "小模型平常就有 2–3% 循环：调高 `degenerate_share`；要求重复的提示词。"),
            next=Text("WatchkeeperDeviceUncorrectedEcc; releases of the hour; `surprise` where log probabilities are asked for.", "WatchkeeperDeviceUncorrectedEcc；该小时的发布；有 logprobs 时看 `surprise`。"),
            dashboard="wk-output",
        ),
        cases=(
            case("one in five loops", "40m", *_answers("0+20x60", "0+4x60", "tail_loop"), fires=fires("critical", CHAT | {"check": "tail_loop"}, "20%", 180)),
            case("a small model", "40m", *_answers("0+100x60", "0+3x60", "tail_loop")),
        ),
    )  # fmt: skip


def _refusals(scope: Scope, values: Values) -> Alert:
    limits = values.thresholds
    before = f"avg_over_time({r(REFUSALS)['7d']} offset 1h)"
    return Alert(
        name="WatchkeeperRefusalShift",
        area="output",
        rules=(Rule("warning", f"({r(REFUSALS)} > {limits.refusal_rise:g} * {before} and {r(REFUSALS)} > 0.01)\nor\n{r(REFUSALS)} < {limits.refusal_fall:g} * {before}", "1h"),),
        labels=scope.segment,
        title=Text("The model declines more, or less", "拒答率异常变化"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} of answers decline, unlike the week before, since {{since}}", f"{OF_SEGMENT.zh}：拒答率 {{value}}，与前一周明显不同，自 {{since}}"),
        detail=Text("Up: too careful. Down: a guard is off, or somebody found a way around it.", "上升：过度谨慎；下降：护栏失效或被绕过。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("The share of refusals is not what it was in the last seven days.", "拒答比例与最近七天不同。"),
            first=Text("Was the system prompt, the guard or the model released? Roll that back. Down without a release: treat it as an attack.", "系统提示词、护栏或模型是否发布过？回滚。没有发布却下降：按攻击处理。"),
            false_alarm=Text("The topic of the day; a red-team exercise; another mix of languages.", "当天热点；红队演练；语言构成变化。"),
            next=Text("`injection` and language of the same time; the last evaluation.", "同时段的 `injection` 和语言；最近一次评测。"),
            dashboard="wk-output",
        ),
        cases=(
            case("ten times as many", "5h", given(outputs.CHECKED, "0+20x320", check="refusal", **CHAT), given(outputs.FLAGGED, "0+1x130 0+10x190", check="refusal", **CHAT),
                 fires=fires("warning", CHAT, "50%", 8280)),
            case("as always", "5h", given(outputs.CHECKED, "0+20x320", check="refusal", **CHAT), given(outputs.FLAGGED, "0+1x320", check="refusal", **CHAT)),
        ),
    )  # fmt: skip


def _blind(scope: Scope, values: Values) -> Alert:
    by, check = listed(scope.segment), listed((*scope.extra, "check"))
    checked = m(outputs.CHECKED, check=one_of(*SAFETY))
    silent = (
        f"sum by ({by}) (rate({m(requests.REQUESTS, outcome='ok')['10m']})) > 0.1\n"
        f"and on ({by}) group by ({by}) (max_over_time({checked['1d']}))\n"
        f"unless on ({by}) sum by ({by}) (rate({checked['10m']})) > 0"
    )

    def lost(which: str) -> str:
        """Share of what a check was asked about that it failed on or dropped."""
        failures, dropped, done = (
            f"sum by ({check}) (rate({metric}[10m]))"
            for metric in (
                f"{outputs.FAILURES.prometheus_name}{which}",
                f"{outputs.DROPPED.prometheus_name}{which}",
                f"{outputs.CHECKED.prometheus_name}{which}",
            )
        )
        missed = f"({failures} + {dropped} or {failures} or {dropped})"
        return f"{missed}\n/\n({missed} + {done} or {missed} > 0)"

    of_safety = '{check=~"' + "|".join(SAFETY) + '"}'
    return Alert(
        name="WatchkeeperGuardrailBlind",
        area="output",
        rules=(
            Rule("critical", f"(\n{silent}\n)\nor\n{lost(of_safety)}\n> 0.5", "5m"),
            Rule("warning", f"{lost('')}\n> {values.thresholds.unchecked_share:g}", "10m"),
        ),
        labels=(*scope.segment, "check"),
        title=Text("Checks do not run", "输出安全检测失效"),
        summary=Text(f"Answers are not checked: {{check}} {OF_SEGMENT.en}, value {{value}}, since {{since}}", f"回答未被检查：{{check}} {OF_SEGMENT.zh}，数值 {{value}}，自 {{since}}"),
        detail=Text("Answers go out and nobody looks whether they are safe; or a check fails on or drops a share {value} of them.", "回答照常发出，却无人检查是否安全；或检查失败、丢弃的比例为 {value}。"),
        runbook=Runbook(
            meaning=Text("The safety monitor is blind. It fails open: users get answers that nobody looked at.", "安全监控失明且默认放行：用户收到的是未经检查的回答。"),
            first=Text("Is text still sent to watchkeeper? Is the classifier reachable? Restore it, or switch the service to its strict filter. Note the blind interval.", "正文是否还在发送？分类器是否可达？恢复它，或切换到严格过滤。记录失明时段。"),
            false_alarm=Text("Text was switched off on purpose: then name no check objective for that service (`leave_out`).", "有意关闭正文：则该服务不应设检查目标（`leave_out`）。"),
            next=Text("`watchkeeper_check_failures_total` and `_dropped_total` by reason; WatchkeeperDataQuality (completeness).", "按原因看 `watchkeeper_check_failures_total` 和 `_dropped_total`；WatchkeeperDataQuality（completeness）。"),
            dashboard="wk-output",
        ),
        cases=(
            case("text stopped, answers go on", "40m", given(requests.REQUESTS, "0+60x60", outcome="ok", **CHAT), given(outputs.CHECKED, "0+60x10 600x60", check="secrets", **CHAT),
                 fires=fires("critical", CHAT, "1", 1200)),
            case("the classifier is unreachable", "40m", given(outputs.DROPPED, "0+60x60", check="classifier", reason="timed_out"),
                 given(outputs.CHECKED, "0+20x60", check="classifier", **CHAT),
                 fires=(*fires("critical", {"check": "classifier"}, "0.75", 60), *fires("warning", {"check": "classifier"}, "0.75", 60))),
            case("one answer in a thousand fails", "40m", given(outputs.FAILURES, "0+1x60", check="script", reason="ValueError"), given(outputs.CHECKED, "0+1000x60", check="script", **CHAT)),
            case("a service without text from the beginning", "40m", given(requests.REQUESTS, "0+60x60", outcome="ok", **CHAT)),
        ),
    )  # fmt: skip
