"""Drift and data quality: what changed in inputs or outputs, since when, against which reference; can the data be trusted."""

from dashboards.alert import Text
from dashboards.alerts.data_drift import BIN_SHARE, OBSERVED, PSI, PSI_NOISE
from dashboards.grafana.board import Board, Query, Row, bars, lines, rising, stat, table, timeline
from dashboards.grafana.narrow import C_SEGMENT, SEGMENT, STATES, Narrow
from dashboards.promql import like
from dashboards.scope import SERVICE
from dashboards.values import Values
from watchkeeper.core.vocabulary import drift, health, links, requests, signals

_OF = (*SEGMENT, "signal")
_C_SIGNAL = ("signal", Text("Signal", "信号"))
_LINKS = "arrival|unreadable|completeness|lateness|schema|duplicates|lag"


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-drift",
        title=Text("Drift and data quality", "漂移与数据质量"),
        about=Text("What changed in inputs or outputs, since when, and can the data be trusted?",
                   "输入或输出发生了什么变化，从何时起，数据可信吗？"),
        variables=narrow.variables(*_OF, "source"),
        events=narrow.events("versions", "references", "findings"),
        rows=(_verdict(narrow), _strength(narrow), _quality(narrow)),
        since="now-24h",
        refresh="1m",
    )  # fmt: skip


def _verdict(narrow: Narrow) -> Row:
    by = narrow.by(*narrow.scope.segment[len(narrow.values.extra_labels) :], "signal")
    state = f"max by ({by}) ({narrow.m(drift.STATE, _OF)})"
    since = narrow.m(drift.REFERENCE_TIME, _OF)
    return Row(Text("Verdict", "判定"), (
        stat(Text("Signals that drift", "漂移信号数"),
             Text("Signals out of the band around their approved reference. Good: 0. Three and more at once are a new"
                  " model, template or client.", "超出已批准参照范围的信号数。正常：0；三个以上同时出现多为新模型、模板或客户端。"),
             f"count({state} == 2) or vector(0)", "none", rising(1, 3)),
        stat(Text("Signals watched", "受监测信号"), Text("Good: as many as have an approved reference.",
             "正常：等于已批准参照的信号数。"), f"count({state})", "none"),
        stat(Text("Without a reference", "无参照的信号"),
             Text("Streams that are seen and have no approved reference: nobody would notice. Good: 0.",
                  "已出现但没有已批准参照的流：漂移无人知晓。正常：0。"),
             f"max({narrow.m(drift.STREAMS, (), state='warming')})", "none", rising(1)),
        stat(Text("Oldest reference", "最老参照"),
             Text("Good: below the age at which a reference must be looked at again.", "正常：低于需要复核的期限。"),
             f"max(time() - {since})", "dtdurations", rising(narrow.values.thresholds.reference_days * 86_400)),
        stat(Text("Alarms, 7 days", "7 天告警次数"),
             Text("Times a signal was found to have left its band. Good: few, each with a cause that is known.",
                  "信号超出范围的次数。正常：少，且原因已知。"),
             f"sum(max by ({by}) (increase({narrow.m(drift.ALARMS, _OF)['7d']})))", "none", decimals=0),
        stat(Text("False alarms promised, 7 days", "7 天允许误报"),
             Text("How many false alarms the promise allows in the same time. Good: alarms are not more than this when"
                  " nothing changed.", "同期承诺允许的误报数。正常：无变化时告警不超过此数。"),
             f"max(increase({narrow.m(drift.EXPECTED, ())['7d']}))", "short", decimals=2),
        timeline(Text("Verdict by signal", "信号判定时间线"),
                 Text("Good: green. The signal that left first is nearest to the cause.",
                      "正常：绿色。最先变化的信号最接近原因。"),
                 state, "{{service_name}} {{signal}}", STATES),
    ))  # fmt: skip


def _strength(narrow: Narrow) -> Row:
    by = narrow.by(*narrow.scope.segment[len(narrow.values.extra_labels) :], "signal")
    name = "{{service_name}} {{signal}}"
    bins = narrow.by("signal", "bin")
    now = f"avg by ({bins}) ({narrow.r(BIN_SHARE, _OF)})"
    before = f"avg by ({bins}) ({narrow.m(drift.REFERENCE_SHARE, _OF)})"
    return Row(Text("Strength", "强度"), (
        lines(Text("Evidence", "证据强度"),
              Text("Logarithm of the evidence against the reference over the alarm's threshold. Good: below 0.7; 1 raises"
                   " the alarm.", "相对告警阈值的证据（对数）。正常：低于 0.7；达到 1 即告警。"),
              "short", Query(f"max by ({by}) ({narrow.m(drift.SCORE, _OF)})", name), low=None,
              steps=((None, "transparent"), (1, "red")), width=12),
        lines(Text("Distance to the reference (PSI, 1 h)", "与参照的距离（PSI，1 小时）"),
              Text("Replicas added up. Good: below the noise of so many observations; over 0.2 is plain to see.",
                   "各副本合并。正常：低于相应样本量的噪声；超过 0.2 肉眼可见。"),
              "short", Query(f"{narrow.r(PSI, _OF)}", name),
              Query(f"max({narrow.r(PSI_NOISE, _OF)})", Text("noise", "噪声")), width=12),
        table(Text("Signals", "信号一览"),
              Text("Mean of each score over about an hour and the band in which it is left alone. Good: inside.",
                   "每个指标约一小时均值与允许范围。正常：在范围内。"),
              (*C_SEGMENT, _C_SIGNAL, ("score", Text("Score", "指标"))),
              *(Query(f"max by ({by}, score) ({narrow.m(metric, _OF)})", title, unit="short") for metric, title in (
                  (drift.BAND_LOW, Text("Low", "下限")), (drift.VALUE, Text("Value", "当前值")),
                  (drift.BAND_HIGH, Text("High", "上限")),
              )), width=16),
        bars(Text("Observations in an hour", "一小时观测数"),
             Text("Good: thousands; below a hundred nothing can be said.", "正常：上千；低于一百无法判断。"),
             "short", f"sum by ({by}) ({narrow.r(OBSERVED, _OF)})", name),
        table(Text("Bins that moved", "变化的区间"),
              Text("Where observations of the last hour lie and where those of the reference do, and what the difference"
                   " adds to the distance. Good: nothing above 0.05.",
                   "最近一小时与参照在各区间的占比，及其对距离的贡献。正常：均低于 0.05。"),
              (_C_SIGNAL, ("bin", Text("Bin", "区间"))),
              Query(now, Text("Last hour", "最近一小时"), unit="percentunit", bar=True),
              Query(before, Text("Reference", "参照"), unit="percentunit", bar=True),
              Query(f"({now} - {before}) * ln(({now} > 0) / ({before} > 0))", Text("Distance", "距离"), unit="short",
                    steps=rising(0.05, 0.2)), sort=Text("Distance", "距离")),
    ))  # fmt: skip


def _quality(narrow: Narrow) -> Row:
    service = ("namespace", "service", "source")
    by = narrow.by(SERVICE, "source")
    calls = f"sum by ({by}) (rate({narrow.m(links.CALLS, service)['$__rate_interval']}))"
    having = f"sum by ({by}, part) (rate({narrow.m(links.HAVING, service)['$__rate_interval']}))"
    asked = narrow.rate(requests.REQUESTS, SEGMENT, SERVICE)
    wrong = narrow.rate(requests.REQUESTS, SEGMENT, SERVICE, outcome="client_error")
    state = narrow.m(signals.STATE, (), signal=like(_LINKS))
    return Row(Text("Data quality", "数据质量"), (
        timeline(Text("Data links", "数据链路"),
                 Text("Arrival, completeness, lateness, schema, duplicates of records. Good: green.",
                      "记录的到达、完整、及时、格式、重复。正常：绿色。"),
                 f"max by ({narrow.by(SERVICE, 'signal', 'link')}) ({state})", "{{service_name}} {{link}} {{signal}}",
                 STATES, width=12),
        lines(Text("Age of the last record", "最近记录距今"),
              Text("By source. Good: below a minute while there is traffic.", "按数据源。正常：有流量时低于一分钟。"),
              "s", Query(f"time() - max by ({narrow.by('source')}) ({narrow.m(health.LAST_RECORD, ('source',))})",
                         "{{source}}"), steps=((None, "transparent"), (narrow.values.thresholds.silent_seconds, "red")),
              width=12),
        lines(Text("Complete records", "记录完整度"),
              Text("Share of good calls whose records bring a part. Good: near 100 %, and as it was.",
                   "成功调用中带有各部分的占比。正常：接近 100% 且稳定。"),
              "percentunit", Query(f"{having} / on ({by}) group_left () ({calls} > 0)",
                                   "{{service_name}} {{part}}"), low=None, high=1),
        lines(Text("Delay of records p95", "记录延迟 P95"),
              Text("From the end of a call to its record. Good: a few seconds; it must stay below the detectors' tick.",
                   "从调用结束到记录到达。正常：数秒。"),
              "s", Query(narrow.quantile(0.95, links.DELAY, service, by), "{{service_name}} {{source}}")),
        lines(Text("Requests that are not valid", "无效请求占比"),
              Text("The client's mistakes over all. Good: below 1 %, without steps.", "客户端错误占比。正常：低于 1%，无突变。"),
              "percentunit", Query(f"{wrong} / ({asked} > 0)", "{{service_name}}"),
              steps=((None, "transparent"), (narrow.values.thresholds.invalid_input_share, "red"))),
    ))  # fmt: skip
