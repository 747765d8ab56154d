"""What goes in and what comes out, against approved references; and the links that bring it."""

from typing import Final

from dashboards.alert import AGE, COUNT, PERCENT, Alert, Group, Proof, Recording, Rule, Runbook, Text
from dashboards.cases import CHAT, case, fires, given
from dashboards.durations import duration
from dashboards.promql import Recorded, grown, m, one_of, r
from dashboards.scope import MODEL, NAMESPACE, OF_SEGMENT, SERVICE, Scope, listed, scope_of
from dashboards.values import Values
from watchkeeper.core.vocabulary import drift, health, requests, signals

WINDOW: Final = "1h"
"""of distances for display"""
SHARE_FLOOR: Final = 1e-4
"""an empty bin counts as this share; a smaller one would make one bin decide"""
LEAST_OBSERVATIONS: Final = 300
"""in a window, below which no distance is given"""
LINK_SIGNALS: Final = ("arrival", "lateness", "lag")
CONTENT_SIGNALS: Final = ("unreadable", "completeness", "duplicates")
PLANNED: Final = "schema"
"""most often somebody's release: nobody is troubled, but it is on record"""

_STREAM: Final = frozenset((NAMESPACE, SERVICE, MODEL, "signal", "reference"))
BIN_SHARE: Final = Recorded(f"wk:drift_bin_share:ratio_rate{WINDOW}", _STREAM | {"bin"})
OBSERVED: Final = Recorded(f"wk:drift_observations:increase{WINDOW}", _STREAM)
PSI: Final = Recorded(f"wk:drift_psi:{WINDOW}", _STREAM)
PSI_NOISE: Final = Recorded(f"wk:drift_psi_noise:{WINDOW}", _STREAM)
"""what 0.1 % of windows without any drift exceed"""


def groups(values: Values) -> tuple[Group, ...]:
    """
    PSI of an hour against the approved reference, replicas added up.

    Counters begin at 0 for every bin, so a reset and a new replica add what they saw and no more. Without traffic there
    is no number, and below LEAST_OBSERVATIONS none. For display: windows overlap, so nobody is paged by it. The
    reference's shares are every replica's own copy: `max` takes one of them.
    """
    scope = scope_of(values)
    stream = listed((*scope.segment, "signal", "reference"))
    bins = listed((*scope.segment, "signal", "reference", "bin"))
    counts = f"sum by ({bins}) (increase({m(drift.OBSERVATIONS)[WINDOW]}))"
    total = f"sum by ({stream}) (increase({m(drift.OBSERVATIONS)[WINDOW]}))"
    reference = f"clamp_min(max by ({bins}) ({m(drift.REFERENCE_SHARE)}), {SHARE_FLOOR})"
    psi = f"sum by ({stream}) (\n  ({r(BIN_SHARE)} - on ({bins}) {reference})\n  * on ({bins}) ln({r(BIN_SHARE)} / on ({bins}) {reference})\n)"
    # chi square at 99.9 % with k degrees of freedom, by Wilson and Hilferty: k (1 - 2/9k + 3.09 sqrt(2/9k))^3
    k = f"(count by ({stream}) ({reference}) - 1)"
    quantile = f"{k} * (1 - 2 / (9 * {k}) + 3.0902 * sqrt(2 / (9 * {k}))) ^ 3"
    size = f"max by ({stream}) ({m(drift.REFERENCE_SIZE)})"
    return (
        Group(
            "watchkeeper-drift",
            (
                Recording(OBSERVED, total),
                Recording(BIN_SHARE, f"clamp_min({counts} / on ({stream}) group_left () ({total} >= {LEAST_OBSERVATIONS}), {SHARE_FLOOR})"),
                Recording(PSI, psi),
                Recording(PSI_NOISE, f"({quantile})\n* on ({stream}) (1 / ({r(OBSERVED)} >= {LEAST_OBSERVATIONS}) + on ({stream}) 1 / {size})"),
            ),
        ),
    )  # fmt: skip


def alerts(values: Values) -> tuple[Alert, ...]:
    scope = scope_of(values)
    return (
        _drifted(scope), _broad(scope, values), _invalid(scope, values), _stalled(scope, values), _quality(scope),
        _silent(scope), _stale(scope, values), _refused(scope),
    )  # fmt: skip


_TTFT: Final = CHAT | {"signal": "time_to_first_token"}


def _drifted(scope: Scope) -> Alert:
    labels = (*scope.segment, "signal")
    return Alert(
        name="WatchkeeperDriftDetected",
        area="data_drift",
        rules=(Rule("warning", f"max by ({listed(labels)}) ({m(drift.STATE)}) == 2", "2m"),),
        labels=labels,
        title=Text("A signal left its band", "检测到数据或输出漂移"),
        summary=Text(f"{OF_SEGMENT.en}: {{signal}} left its band, known since {{since}}", f"{OF_SEGMENT.zh}：信号 {{signal}} 偏离参照，发现于 {{since}}"),
        detail=Text("The finding says when it began, from where to where it moved, and three probable causes.", "发现中写明开始时间、变化幅度和三个可能原因。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text(
                "What goes in or comes out is no longer what its approved reference was. All signals together raise one false alarm in 30 days.",
                "输入或输出已不同于批准的参照。所有信号合计每 30 天最多一次误报。",
            ),
            first=Text("Read the finding. Was there a release, a new tenant, a holiday at its begin? Then it is explained: say so in the review.", "读发现。开始时刻有无发布、新租户、节假日？有则已解释，写入评审记录。"),
            false_alarm=Text("A reference of twenty minutes does not know the rest of the day: propose one of a week, or one by the hour.", "只有二十分钟的参照不了解全天：重新提议一周的、或按小时分层的参照。"),
            next=Text("Value beside its band; PSI beside its noise; the other signals of the same model.", "数值与其带宽；PSI 与其噪声；同一模型的其他信号。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("alarm on one replica", "10m", given(drift.STATE, "0x2 2x20", job="a", **_TTFT), given(drift.STATE, "0x20", job="b", **_TTFT),
                 fires=fires("warning", _TTFT, "2", 180)),
            case("nearly", "10m", given(drift.STATE, "1x20", **_TTFT)),
            case("no reference yet", "10m", given(drift.STREAMS, "12x20", state="warming")),
        ),
    )  # fmt: skip


def _broad(scope: Scope, values: Values) -> Alert:
    by = listed(scope.segment)
    many = values.thresholds.broad_drift_signals
    drifted = f"max by ({listed((*scope.segment, 'signal'))}) ({m(drift.STATE)}) == 2"
    return Alert(
        name="WatchkeeperDriftBroad",
        area="data_drift",
        rules=(Rule("warning", f"count by ({by}) ({drifted}) >= {many}", "10m"),),
        labels=scope.segment,
        title=Text("Many signals drift at once", "多信号同时漂移"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} signals drift at once since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 个信号同时漂移，自 {{since}}"),
        detail=Text("A different population or a different model.", "人群变了，或模型变了。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("So much moves together that the traffic or the model is another one.", "这么多信号一起动：流量或模型已经换了。"),
            first=Text("Stop promoting models; ask the model's owner what changed at the earliest onset; roll back if nobody knows.", "暂停模型发布；问负责人最早开始时刻改了什么；没人知道就回滚。"),
            false_alarm=Text("Length, tokens and duration follow each other: one long-prompt customer moves all three.", "长度、token、耗时相互关联：一个长提示客户就能带动三者。"),
            next=Text("Onsets in order on the drift dashboard: the first is nearest to the cause.", "漂移看板上按开始时间排序：最早的离原因最近。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("three at once", "20m", *(given(drift.STATE, "0x2 2x30", **CHAT | {"signal": name}) for name in ("refusal", "input_tokens", "language")),
                 fires=fires("warning", CHAT, "3", 180)),
            case("three replicas tell of one", "20m", *(given(drift.STATE, "2x30", job=name, **_TTFT) for name in ("a", "b", "c"))),
        ),
    )  # fmt: skip


def _invalid(scope: Scope, values: Values) -> Alert:
    by = listed(scope.segment)
    limit = values.thresholds.invalid_input_share
    expr = (
        f"sum by ({by}) (increase({m(requests.REQUESTS, outcome='client_error')['15m']}))\n/\n"
        f"(sum by ({by}) (increase({m(requests.REQUESTS)['15m']})) > {values.min_bad_events})\n> {limit:g}"
    )
    return Alert(
        name="WatchkeeperInputInvalidRate",
        area="data_drift",
        rules=(Rule("warning", expr, "15m"),),
        labels=scope.segment,
        title=Text("Many requests are not valid", "输入数据质量异常"),
        summary=Text(f"{OF_SEGMENT.en}: {{value}} of requests are the client's mistake since {{since}}", f"{OF_SEGMENT.zh}：{{value}} 的请求无效，自 {{since}}"),
        detail=Text(f"More than {limit:.0%}. They do not count against any objective.", f"超过 {limit:.0%}。它们不计入任何目标。"),
        show=PERCENT,
        runbook=Runbook(
            meaning=Text("Callers send what is refused: too long, malformed, not allowed.", "调用方发来会被拒绝的请求：过长、格式错误、不允许。"),
            first=Text("Split by `tenant` and `error_type`. One caller: tell it. All callers: the gateway's or the template's release.", "按 `tenant`、`error_type` 拆分。一个调用方：通知它；全部：查网关或模板发布。"),
            false_alarm=Text("A scanner; a caller that repeats one bad request forever.", "扫描器；某个调用方不停重试同一个坏请求。"),
            next=Text("Requests by outcome on the dashboard.", "看板上按结果分的请求。"),
            dashboard="wk-service",
        ),
        cases=(
            case("one in five", "40m", given(requests.REQUESTS, "0+80x60", outcome="ok", **CHAT), given(requests.REQUESTS, "0+20x60", outcome="client_error", **CHAT),
                 fires=fires("warning", CHAT, "20%", 60)),
            case("one in a hundred", "40m", given(requests.REQUESTS, "0+99x60", outcome="ok", **CHAT), given(requests.REQUESTS, "0+1x60", outcome="client_error", **CHAT)),
        ),
    )  # fmt: skip


def _stalled(scope: Scope, values: Values) -> Alert:
    seconds = values.thresholds.silent_seconds
    source = listed((*scope.extra, "source"))
    expr = (
        f"max by ({listed((*scope.segment, 'signal', 'link'))}) ({m(signals.STATE, signal=one_of(*LINK_SIGNALS))}) >= 1\nor\n"
        f"(\n  time() - max by ({source}) ({m(health.LAST_RECORD)}) > {seconds:g}\n"
        f"  and on ({source})\n"
        f"  sum by ({source}) (increase({m(health.ACCEPTED)['1h']} offset {duration(seconds)})) > {LEAST_OBSERVATIONS}\n)"
    )
    return Alert(
        name="WatchkeeperDataLinkStalled",
        area="data_drift",
        rules=(Rule("warning", expr, "5m"),),
        labels=(*scope.segment, "signal", "link", "source"),
        title=Text("Records no longer arrive", "数据链路中断"),
        summary=Text(f"Records over {{link}}{{source}} ({OF_SEGMENT.en}) stopped or come late ({{signal}}) since {{since}}", f"{{link}}{{source}}（{OF_SEGMENT.zh}）的数据中断或迟到（{{signal}}），自 {{since}}"),
        detail=Text("A source that was busy an hour ago brings nothing, or a signal of the link alarms. Value: {value}.", "一小时前还繁忙的来源现在没有数据，或链路信号报警。数值：{value}。"),
        runbook=Runbook(
            meaning=Text("watchkeeper sees no calls any more although it did; everything that is judged from them is out of date.", "watchkeeper 之前能看到调用，现在看不到；由它判断的一切都已过时。"),
            first=Text("Walk the way: application or gateway (does it still export?), network policy, watchkeeper (`watchkeeper doctor`).", "沿路检查：应用或网关（还在上报吗）、网络策略、watchkeeper（`watchkeeper doctor`）。"),
            false_alarm=Text("A service that sleeps at night; clocks that differ (lateness).", "夜间休眠的服务；时钟不一致（迟到）。"),
            next=Text("`watchkeeper_pipeline_refused_requests_total` and `_rejected_total` by reason.", "按原因看 `watchkeeper_pipeline_refused_requests_total` 和 `_rejected_total`。"),
            dashboard="wk-monitor",
        ),
        cases=(
            case("the signal says so", "12m", given(signals.STATE, "0x2 2x20", signal="arrival", link="otlp", **CHAT), fires=fires("warning", CHAT | {"signal": "arrival", "link": "otlp"}, "2", 180)),
            case("a busy source goes quiet", "60m", given(health.LAST_RECORD, "0+60x30 1800x60", source="otlp"),
                 given(health.ACCEPTED, "0+100x30 3000x60", source="otlp", signal="traces"), fires=fires("warning", {"source": "otlp"}, "1.8e+03", 2460)),
            case("one that was always quiet", "60m", given(health.LAST_RECORD, "60x90", source="otlp"), given(health.ACCEPTED, "1x90", source="otlp", signal="traces")),
        ),
    )  # fmt: skip


def _quality(scope: Scope) -> Alert:
    labels = (*scope.segment, "signal", "link")
    by = listed(labels)
    return Alert(
        name="WatchkeeperDataQuality",
        area="data_drift",
        rules=(
            Rule("warning", f"max by ({by}) ({m(signals.STATE, signal=one_of(*CONTENT_SIGNALS))}) >= 1", "5m"),
            Rule("info", f"max by ({by}) ({m(signals.STATE, signal=PLANNED)}) >= 1", "5m"),
        ),
        labels=labels,
        title=Text("Records are not what they were", "数据质量异常"),
        summary=Text(f"{OF_SEGMENT.en}: {{signal}} of records since {{since}}", f"{OF_SEGMENT.zh}：数据{{signal}}异常，自 {{since}}"),
        detail=Text("Over {link}. unreadable, completeness (no tokens or text where there were), duplicates; schema (another sender or version) is for the record.", "来自 {link}。unreadable 无法读取、completeness 缺字段、duplicates 重复；schema 表示发送方或版本变化，仅作记录。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Records arrive, but some of what they should say is missing, new, unreadable or said twice.", "数据能到，但内容缺失、变样、无法读取或重复。"),
            first=Text("Ask the sender what was released: SDK, instrumentation, gateway. Roll that back.", "问发送方发布了什么：SDK、埋点、网关；回滚它。"),
            false_alarm=Text("A sender that stopped sending text on purpose, for privacy.", "发送方出于隐私有意停止发送正文。"),
            next=Text("`watchkeeper_pipeline_ignored_total`, `_rejected_total`, `_invalid_values_total` by reason and field.", "按原因和字段看 `watchkeeper_pipeline_ignored_total`、`_rejected_total`、`_invalid_values_total`。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("text is missing", "12m", given(signals.STATE, "0x2 1x20", signal="completeness", link="otlp", **CHAT),
                 fires=fires("warning", CHAT | {"signal": "completeness", "link": "otlp"}, "1", 180)),
            case("a schema that changed", "12m", given(signals.STATE, "0x2 1x20", signal="schema", link="otlp", **CHAT),
                 fires=fires("info", CHAT | {"signal": "schema", "link": "otlp"}, "1", 180)),
            case("well", "12m", given(signals.STATE, "0x20", signal="schema", link="otlp", **CHAT), given(signals.STATE, "0x20", signal="unreadable", link="otlp", **CHAT)),
        ),
    )  # fmt: skip


def _silent(scope: Scope) -> Alert:
    by = listed(scope.segment)
    expr = (
        f"sum by ({by}) (increase({m(drift.OBSERVATIONS)['15m']})) == 0\nand on ({by})\n"
        f"sum by ({by}) (increase({m(requests.REQUESTS)['15m']})) > {LEAST_OBSERVATIONS}"
    )
    return Alert(
        name="WatchkeeperDetectorStalled",
        area="data_drift",
        rules=(Rule("warning", expr, "5m"),),
        labels=scope.segment,
        title=Text("Drift detection sees nothing", "漂移检测停滞"),
        summary=Text(f"{OF_SEGMENT.en}: requests and no observation of drift since {{since}}", f"{OF_SEGMENT.zh}：有请求但漂移检测没有样本，自 {{since}}"),
        detail=Text("Its states are those of a quarter of an hour ago and earlier: take them as unknown.", "其状态停留在一刻钟以前：按未知处理。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("Requests are counted, but nothing of them is compared with the references.", "请求有计数，但没有任何内容与参照比较。"),
            first=Text("Do all requests fail? Then that is the incident. Else read the log for `reference` and `drift`.", "请求是否全部失败？若是，先处理故障；否则在日志里查 `reference`、`drift`。"),
            false_alarm=Text("A service that is new since the references were approved, with one that was retired.", "参照批准之后新上的服务；参照刚被撤回。"),
            next=Text("WatchkeeperReferenceRefused; `watchkeeper_drift_streams` by state.", "WatchkeeperReferenceRefused；按状态看 `watchkeeper_drift_streams`。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("requests fail, nothing is observed", "40m", given(requests.REQUESTS, "0+60x60", outcome="error", **CHAT),
                 given(drift.OBSERVATIONS, "0+60x10 600x60", reference="p1", bin="0", **_TTFT), fires=fires("warning", CHAT, "0", 1500)),
            case("both flow", "40m", given(requests.REQUESTS, "0+60x60", outcome="ok", **CHAT), given(drift.OBSERVATIONS, "0+60x60", reference="p1", bin="0", **_TTFT)),
            case("a quiet night", "40m", given(requests.REQUESTS, "60x60", outcome="ok", **CHAT), given(drift.OBSERVATIONS, "60x60", reference="p1", bin="0", **_TTFT)),
        ),
    )  # fmt: skip


def _stale(scope: Scope, values: Values) -> Alert:
    labels = (*scope.segment, "signal", "reference")
    days = values.thresholds.reference_days
    return Alert(
        name="WatchkeeperReferenceStale",
        area="data_drift",
        rules=(Rule("warning", f"time() - max by ({listed(labels)}) ({m(drift.REFERENCE_TIME)}) > {days * 86_400:g}", "1h"),),
        labels=labels,
        title=Text("A reference is old", "漂移参照过期"),
        summary=Text(f"{OF_SEGMENT.en}: reference {{reference}} of {{signal}} is {{value}} old", f"{OF_SEGMENT.zh}：{{signal}} 的参照 {{reference}} 已 {{value}}"),
        detail=Text(f"Older than {days:g} days, known since {{since}}.", f"超过 {days:g} 天，自 {{since}}。"),
        show=AGE,
        runbook=Runbook(
            meaning=Text("Nobody has looked for months whether this reference is still what should be.", "数月无人确认该参照是否仍然有效。"),
            first=Text("Working hours: `watchkeeper reference propose`, compare, approve or extend with a reason.", "工作时间：`watchkeeper reference propose`，比较，批准或写明理由延期。"),
            false_alarm=Text("A service whose traffic does not change: approve the same again.", "流量不变的服务：重新批准同样的参照。"),
            next=Text("PSI against it over weeks on the dashboard.", "看板上数周来与它的 PSI。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("of a time before", "70m", given(drift.REFERENCE_TIME, "-10000000x80", reference="p1", **_TTFT),
                 fires=fires("warning", _TTFT | {"reference": "p1"}, "115d 18h 56m 40s", 0)),
            case("of today", "70m", given(drift.REFERENCE_TIME, "0x80", reference="p1", **_TTFT)),
        ),
    )  # fmt: skip


def _refused(scope: Scope) -> Alert:
    labels = (*scope.extra, "reason")
    return Alert(
        name="WatchkeeperReferenceRefused",
        area="data_drift",
        rules=(Rule("warning", f"{grown(m(drift.REFUSED), listed(labels), '1h')} > 0"),),
        labels=labels,
        title=Text("A reference cannot be used", "漂移参照无法使用"),
        summary=Text("{value} references or saved evidence refused ({reason}) since {since}", "{value} 个参照或已存证据被拒（{reason}），自 {since}"),
        detail=Text("Their streams go on without: nothing drifts there, whatever happens.", "对应的信号失去参照：无论发生什么都不会报漂移。"),
        show=COUNT,
        runbook=Runbook(
            meaning=Text("A file in the folder of references is damaged, of another version, or does not fit.", "参照目录中的文件损坏、版本不符或不匹配。"),
            first=Text("`watchkeeper reference list` names the file and why. Import it again, or approve a new one.", "`watchkeeper reference list` 会列出文件和原因；重新导入，或批准新的。"),
            false_alarm=Text("After an upgrade, evidence of the old version is refused once: it starts anew.", "升级后旧版本的证据会被拒一次，随后重新开始。"),
            next=Text("The log of watchkeeper at that time.", "当时 watchkeeper 的日志。"),
            dashboard="wk-drift",
        ),
        cases=(
            case("damaged", "10m", given(drift.REFUSED, "0x5 2x20", reason="malformed"), fires=fires("warning", {"reason": "malformed"}, "2", 360)),
            case("at the start, when nothing was counted before", "200m", given(drift.REFUSED, "_x185 1x40", reason="reference"),
                 fires=fires("warning", {"reason": "reference"}, "1", 11_100)),
            case("long ago", "200m", given(drift.REFUSED, "2x220", reason="malformed")),
        ),
    )  # fmt: skip


def _bins(values: tuple[str, ...], **labels: str) -> tuple[tuple[str, str], ...]:
    """Counts of bins, and a reference that has as much in each."""
    who = _TTFT | {"reference": "p1"} | labels
    share = f"{1 / len(values):g}x200"
    counted = tuple(given(drift.OBSERVATIONS, text, bin=str(place), **who) for place, text in enumerate(values))
    reference = tuple(given(drift.REFERENCE_SHARE, share, bin=str(place), **who) for place in range(len(values)))
    return (*counted, *reference, given(drift.REFERENCE_SIZE, "10000x200", **who))


def _psi(name: str, at: str, psi: float | None, noise: float | None, *series: tuple[str, str]) -> tuple[Proof, Proof]:
    """Thousandths, rounded: what floats come to is the same on every machine."""
    here = r(PSI, signal="time_to_first_token"), r(PSI_NOISE, signal="time_to_first_token")
    labels = _TTFT | {"reference": "p1"}
    said = [() if value is None else ((labels, value),) for value in (psi, noise)]
    return (
        Proof(f"PSI: {name}", series, at, f"round(1000 * {here[0]})", said[0]),
        Proof(f"noise of PSI: {name}", series, at, f"round(1000 * {here[1]})", said[1]),
    )


_EVEN: Final = ("0+10x120",) * 4
_MOVED: Final = ("0+16x120", "0+12x120", "0+8x120", "0+4x120")
PROOFS: Final = (
    *_psi("as the reference", "90m", 0, 9, *_bins(_EVEN)),
    *_psi("moved", "90m", 228, 9, *_bins(_MOVED)),
    *_psi("moved, over two replicas of unequal load", "90m", 228, 9,
          *_bins(("0+12x120", "0+9x120", "0+6x120", "0+3x120"), job="a"), *_bins(("0+4x120", "0+3x120", "0+2x120", "0+1x120"), job="b")),
    *_psi("moved, and a replica restarted", "90m", 228, 9, *_bins(("0+16x60 0+16x60", "0+12x60 0+12x60", "0+8x60 0+8x60", "0+4x60 0+4x60"))),
    *_psi("a new replica comes", "90m", 0, 6, *_bins(_EVEN, job="a"), *_bins(("_x60 0+10x60",) * 4, job="b")),
    *_psi("too little traffic", "90m", None, None, *_bins(("0+1x120",) * 4)),
    *_psi("no traffic", "90m", None, None, *_bins(("600x120",) * 4)),
    *_psi("a bin that is empty", "90m", 4257, 9, *_bins(("0+20x120", "0+20x120", "0x120", "0x120"))),
)  # fmt: skip
