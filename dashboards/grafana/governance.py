"""Governance evidence: which model answered, against which reference, is it monitored and recorded."""

from dashboards.alert import Text
from dashboards.alerts.slo import BAD_EVENTS, EVENTS
from dashboards.grafana.board import Board, Query, Row, bars, falling, lines, rising, stat, table
from dashboards.grafana.narrow import C_MODEL, C_NAMESPACE, C_SEGMENT, C_SERVICE, SEGMENT, Narrow, to_drift
from dashboards.promql import UP, Match, Series
from dashboards.scope import MODEL, NAMESPACE, SERVICE, listed
from dashboards.values import Values
from watchkeeper.core.vocabulary import capture, drift, health, outputs, requests, signals, store

_MONTH = "30d"


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-governance",
        title=Text("Governance evidence", "治理证据"),
        about=Text("Which model answered, against which approved reference, is it monitored, and is that on record?"
                   " Evidence for a review, not a statement of compliance.",
                   "由哪个模型回答、对照哪个已批准参照、是否受监测、是否有记录？供评审使用的证据，并非合规声明。"),
        variables=narrow.variables(*SEGMENT),
        events=narrow.events("versions", "references", "findings"),
        rows=(_effective(narrow), _inventory(narrow), _records(narrow)),
        since="now-30d",
        refresh="15m",
    )  # fmt: skip


def _up(narrow: Narrow) -> Series:
    return Series(UP, (("job", Match("=", narrow.values.job)),))


def _effective(narrow: Narrow) -> Row:
    up = _up(narrow)
    segment = listed(narrow.scope.segment)
    by = narrow.by(*narrow.scope.segment[len(narrow.values.extra_labels) :], "signal")
    seen = f"count(group by ({segment}) ({narrow.m(requests.REQUESTS, SEGMENT)}))"
    referred = f"count(group by ({segment}) ({narrow.m(drift.STATE, SEGMENT)}))"
    since = narrow.m(drift.REFERENCE_TIME, SEGMENT)
    lost = f"sum(increase({narrow.m(health.DROPPED, ())[_MONTH]}))"
    came = f"sum(increase({narrow.m(health.RECEIVED, ())[_MONTH]}))"
    return Row(Text("Is monitoring effective", "监测是否有效"), (
        stat(Text("Monitor availability, 30 days", "30 天监测可用率"),
             Text("Share of scrapes of watchkeeper that were answered. Good: above 99.5 %. ISO/IEC 42001 9.1.",
                  "watchkeeper 抓取成功占比。正常：高于 99.5%。对应 ISO/IEC 42001 9.1。"),
             f"avg(avg_over_time({up[_MONTH]}))", "percentunit", falling(0.995, 0.95), decimals=2),
        stat(Text("Records lost, 30 days", "30 天丢失记录"),
             Text("Share of received items that were lost inside watchkeeper. Good: 0.", "收到后丢失的占比。正常：0。"),
             f"{lost} / ({came} > 0)", "percentunit", rising(0.0001, 0.01), decimals=3),
        stat(Text("Models with a reference", "有参照的模型"),
             Text("Models in service whose outputs are held against an approved reference. Good: 100 %.",
                  "在役模型中对照已批准参照的占比。正常：100%。"),
             f"({referred} or vector(0)) / {seen}", "percentunit", falling(1, 0.5), decimals=0),
        stat(Text("Oldest reference", "最老参照"), Text("Good: reviewed within your period.", "正常：在复核期限内。"),
             f"max(time() - {since})", "dtdurations", rising(narrow.values.thresholds.reference_days * 86_400)),
        stat(Text("Signals that drift now", "当前漂移信号"), Text("Good: 0, or each with a finding under review.",
             "正常：0，或均有在评审的发现。"),
             f"count(max by ({by}) ({narrow.m(drift.STATE, SEGMENT)}) == 2) or vector(0)", "none", rising(1, 3)),
        stat(Text("Oldest record", "最老记录"),
             Text("How far the store goes back. Good: as far as you must keep records (EU AI Act: six months for logs).",
                  "存储可追溯的时长。正常：满足留存期限（欧盟 AI 法：日志六个月）。"),
             f"time() - min({narrow.m(store.OLDEST, ())})", "dtdurations"),
    ))  # fmt: skip


def _inventory(narrow: Narrow) -> Row:
    by = narrow.by(NAMESPACE, SERVICE, MODEL, "gen_ai_response_model", "gen_ai_provider_name")
    reference = narrow.by(NAMESPACE, SERVICE, MODEL, "signal", "reference")
    slo = narrow.by(NAMESPACE, SERVICE, MODEL, "slo")
    bad, all_ = (f"sum by ({slo}) (sum_over_time({narrow.r(one, SEGMENT)[_MONTH]}))" for one in (BAD_EVENTS, EVENTS))
    c_reference = ("reference", Text("Reference", "参照"))
    return Row(Text("What is in service", "在役清单"), (
        table(Text("Models in service", "在役模型"),
              Text("Which version answered how often within the time shown. Good: only versions that were approved."
                   " NIST AI RMF MAP.", "所选时段内各版本的回答数。正常：只有已批准版本。对应 NIST AI RMF MAP。"),
              (C_NAMESPACE, C_SERVICE, C_MODEL, ("gen_ai_response_model", Text("Version", "版本")),
               ("gen_ai_provider_name", Text("Provider", "提供方"))),
              Query(f"sum by ({by}) (increase({narrow.m(requests.REQUESTS, SEGMENT)['$__range']}))",
                    Text("Requests", "请求数"), unit="short"), width=12, sort=Text("Requests", "请求数")),
        table(Text("References in use", "使用中的参照"),
              Text("What each signal is held against, and how old that is. Good: every model has some, none is older than"
                   " your period.", "各信号对照的参照及其年龄。正常：每个模型都有且未过期。"),
              (C_SERVICE, ("signal", Text("Signal", "信号")), c_reference),
              Query(f"time() - max by ({reference}) ({narrow.m(drift.REFERENCE_TIME, SEGMENT)})", Text("Age", "年龄"),
                    unit="dtdurations", steps=rising(narrow.values.thresholds.reference_days * 86_400)),
              Query(f"max by ({reference}) ({narrow.m(drift.REFERENCE_SIZE, SEGMENT)})", Text("Observations", "样本数"),
                    unit="short"), width=12, jump=to_drift(), hidden=(NAMESPACE, MODEL)),
        table(Text("Attainment of objectives, 30 days", "30 天目标达成"),
              Text("Share of good requests, as far back as Prometheus keeps them. Good: above what is promised.",
                   "好请求占比（受 Prometheus 留存限制）。正常：高于承诺值。"),
              (*C_SEGMENT, ("slo", Text("Objective", "目标"))),
              Query(f"1 - {bad} / ({all_} > 0)", Text("Attained", "达成率"), unit="percentunit"), width=12),
        table(Text("Answers marked, 30 days", "30 天被标记的回答"),
              Text("Per check: marked and checked. Good: every check that your policy names is here and has checked.",
                   "各检测的标记数与检测数。正常：政策要求的检测均在列且有数据。"),
              (C_SERVICE, ("check", Text("Check", "检测"))),
              *(Query(f"sum by ({narrow.by(SERVICE, 'check')}) (increase({narrow.m(metric, SEGMENT)[_MONTH]}))", title,
                      unit="short") for metric, title in ((outputs.FLAGGED, Text("Marked", "标记数")),
                                                          (outputs.CHECKED, Text("Checked", "检测数")))),
              width=12, sort=Text("Marked", "标记数")),
    ))  # fmt: skip


def _records(narrow: Narrow) -> Row:
    found = narrow.by("signal", "severity")
    redacted = f"sum by (kind) (increase({narrow.m(capture.REDACTED, ())[_MONTH]}))"
    return Row(Text("Records", "记录"), (
        bars(Text("Findings, 30 days", "30 天发现"),
             Text("By signal and severity: what a review goes through. Good: each was looked at. NIST AI RMF MANAGE 4.3.",
                  "按信号与级别，供逐项评审。正常：均已处理。对应 NIST AI RMF MANAGE 4.3。"),
             "short", f"sum by ({found}) (increase({narrow.m(signals.FINDINGS, ())[_MONTH]})) > 0",
             "{{severity}} {{signal}}"),
        bars(Text("Records kept, 30 days", "30 天留存记录"),
             Text("By kind and what became of them. Good: written only; dropped or refused are holes in the evidence.",
                  "按类型与去向。正常：只有 written；dropped、refused 说明证据缺失。"),
             "short", f"sum by (kind, outcome) (increase({narrow.m(store.RECORDS, ())[_MONTH]}))",
             "{{kind}} {{outcome}}"),
        lines(Text("Size of the store", "存储大小"), Text("Good: it grows slowly, or stays where retention holds it.",
              "正常：缓慢增长，或由留存期限保持。"), "bytes",
              Query(f"max({narrow.m(store.SIZE, ())})", Text("database", "数据库"))),
        bars(Text("Text captured, 30 days", "30 天捕获文本"),
             Text("Calls drawn for capture and what was redacted in them. Good: nothing, unless you turned it on.",
                  "被抽样捕获的调用与脱敏项。正常：未启用时为空。"),
             "short", f"sum by (outcome) (increase({narrow.m(capture.CALLS, ())[_MONTH]})) or {redacted}",
             "{{outcome}}{{kind}}"),
        lines(Text("Scrapes of watchkeeper answered", "watchkeeper 抓取成功率"),
              Text("Good: 100 %; every hole is a time without monitoring and wants a reason on record.",
                   "正常：100%；每个缺口都是无监测时段，应记录原因。"), "percentunit",
              Query(f"avg(avg_over_time({_up(narrow)['1h']}))", Text("answered", "成功")), high=1, width=16),
    ))  # fmt: skip
