"""Output safety and quality: are answers safe and useful, and do the checks themselves work."""

from dashboards.alert import Text
from dashboards.alerts.output import REFUSALS
from dashboards.grafana.board import Board, Query, Row, bars, falling, heat, lines, rising, stat, table
from dashboards.grafana.narrow import C_SEGMENT, RATE, SEGMENT, Narrow
from dashboards.promql import Match, one_of
from dashboards.scope import MODEL, SERVICE
from dashboards.values import Values
from watchkeeper.core.metric import Metric
from watchkeeper.core.vocabulary import outputs, requests

_OF = (*SEGMENT, "check")
_SAFETY = one_of("secrets", "secrets_prompt", "canary", "pii", "pii_prompt", "unsafe", "classifier", "injection",
                 "injection_context")  # fmt: skip
_BROKEN = one_of("tail_loop", "reasoning_loop", "repetition", "empty", "mojibake", "truncation", "format", "tool_call")
_LEAKS = one_of("secrets", "canary")


def board(values: Values) -> Board:
    narrow = Narrow(values)
    return Board(
        uid="wk-output",
        title=Text("Output safety and quality", "输出安全与质量"),
        about=Text("Are answers safe and useful, and do the checks themselves work?", "回答安全、有用吗，检测本身正常吗？"),
        variables=narrow.variables(*_OF),
        events=narrow.events("versions", "findings", "pages"),
        rows=(_summary(narrow), _safety(narrow), _quality(narrow), _checks(narrow)),
        since="now-24h",
        refresh="1m",
    )  # fmt: skip


def _share(narrow: Narrow, by: str, window: str, *, check: Match) -> str:
    """Marked over checked."""
    marked, checked = (
        f"sum by ({by}) (rate({narrow.m(metric, _OF, check=check)[window]}))"
        for metric in (outputs.FLAGGED, outputs.CHECKED)
    )
    return f"{marked} / ({checked} > 0)"


def _summary(narrow: Narrow) -> Row:
    def counted(check: Match) -> str:
        return f"sum(increase({narrow.m(outputs.FLAGGED, _OF, check=check)['24h']})) or vector(0)"

    answered = f"sum(rate({narrow.m(requests.REQUESTS, SEGMENT, outcome='ok')['1h']}))"
    most = f"max(sum by (check) (rate({narrow.m(outputs.CHECKED, SEGMENT, check=_SAFETY)['1h']})))"
    failed = f"sum(rate({narrow.m(outputs.FAILURES, ('check',))['1h']}))"
    judged = f"sum(rate({narrow.m(outputs.CHECKED, ('check',))['1h']}))"
    return Row(Text("Summary", "摘要"), (
        stat(Text("Secrets, 24 h", "24 小时密钥泄露"), Text("Answers with a secret or a canary. Good: 0.",
             "含密钥或金丝雀串的回答数。正常：0。"), counted(_LEAKS), "none", rising(1), decimals=0),
        stat(Text("Personal data, 24 h", "24 小时个人信息"), Text("Answers with personal data. Good: as few as your"
             " policy allows.", "含个人信息的回答数。正常：不超过政策允许值。"), counted(one_of("pii")), "none", decimals=0),
        stat(Text("Refusals, 1 h", "1 小时拒答率"),
             Text("Share of answers that decline. Good: as last week; up is a filter or a model, down is a filter that is"
                  " off.", "拒答占比。正常：与上周相近；上升看过滤或模型，下降看过滤是否失效。"),
             f"max({narrow.r(REFUSALS, SEGMENT)})", "percentunit", decimals=1),
        stat(Text("Broken answers, 1 h", "1 小时退化输出"),
             Text("The worst check of form over the last hour. Good: below 5 %.", "最近一小时最差的形式检测。正常：低于 5%。"),
             f"max({_share(narrow, 'check', '1h', check=_BROKEN)})", "percentunit",
             rising(narrow.values.thresholds.degenerate_share), decimals=1),
        stat(Text("Checked", "检测覆盖率"),
             Text("Answers that the best covered safety check saw, over all good ones. Good: 100 %, or the share that is"
                  " sampled.", "覆盖最好的安全检测所见回答占比。正常：100% 或抽样比例。"),
             f"{most} / {answered}", "percentunit", falling(0.95, 0.5), decimals=0),
        stat(Text("Checks that failed", "检测失败占比"),
             Text("Answers that a check failed on. Good: 0; from 5 % on it is blind.", "检测失败的占比。正常：0；达到 5% 即失明。"),
             f"{failed} / ({failed} + {judged})", "percentunit", rising(0.001, narrow.values.thresholds.unchecked_share),
             decimals=2),
    ))  # fmt: skip


def _safety(narrow: Narrow) -> Row:
    kinds = narrow.by("check", "kind")
    return Row(Text("Safety", "安全"), (
        lines(Text("Marked as unsafe, by check", "安全检测标记率"),
              Text("Share of checked answers, last hour. Good: near 0 and flat; the line is the limit of `unsafe`.",
                   "最近一小时被标记占比。正常：接近 0 且平稳；横线为 unsafe 上限。"),
              "percentunit", Query(_share(narrow, "check", "1h", check=_SAFETY), "{{check}}"),
              steps=((None, "transparent"), (narrow.values.thresholds.unsafe_share, "red")), width=12),
        bars(Text("What was found, 24 h", "24 小时命中类型"),
             Text("By check and kind. Good: no kind that was not there yesterday.", "按检测与类型。正常：没有新出现的类型。"),
             "short", f"topk(12, sum by ({kinds}) (increase({narrow.m(outputs.HITS, _OF)['24h']})))",
             "{{check}} {{kind}}", width=12),
    ))  # fmt: skip


def _p(narrow: Narrow, metric: Metric, share: float = 0.5) -> Query:
    """A quantile of what was measured on answers, by service."""
    return Query(narrow.quantile(share, metric, SEGMENT, SERVICE, "15m"), f"p{share * 100:.0f} {{{{service_name}}}}")


def _quality(narrow: Narrow) -> Row:
    evaluated = narrow.m(outputs.QUALITY, SEGMENT, "sum")["1h"]
    counted = narrow.m(outputs.QUALITY, SEGMENT, "count")["1h"]
    name = narrow.by(MODEL, "gen_ai_evaluation_name")
    verdicts = narrow.by("gen_ai_evaluation_name", "gen_ai_evaluation_score_label")
    repeated = narrow.m(outputs.REPETITION, SEGMENT, "bucket")[RATE]
    return Row(Text("Quality", "质量"), (
        lines(Text("Broken answers, by check", "退化输出"),
              Text("Loops, repetition, damage, cut answers. Good: flat and low; a jump after a release is the template or"
                   " the sampling.", "循环、重复、乱码、截断。正常：低且平稳；发布后跳变看模板或采样参数。"),
              "percentunit", Query(_share(narrow, "check", "15m", check=_BROKEN), "{{check}}")),
        lines(Text("Refusals", "拒答率"), Text("Good: as last week.", "正常：与上周相近。"),
              "percentunit", Query(str(narrow.r(REFUSALS, SEGMENT)), "{{service_name}} {{gen_ai_request_model}}")),
        lines(Text("Judged quality", "评估得分"),
              Text("Mean score of each evaluation, on its own scale. Good: steady; a fall after a release is the release.",
                   "各评估的平均分（各自量表）。正常：稳定；发布后下降即发布所致。"),
              "short", Query(f"sum by ({name}) (rate({evaluated})) / (sum by ({name}) (rate({counted})) > 0)",
                             "{{gen_ai_evaluation_name}} {{gen_ai_request_model}}"), low=None),
        bars(Text("Verdicts of users and evaluators, 24 h", "24 小时用户与评估结论"),
             Text("Good: far more of the good labels.", "正常：好评远多于差评。"),
             "short", f"sum by ({verdicts}) (increase({narrow.m(outputs.JUDGEMENTS, SEGMENT)['24h']})) > 0",
             "{{gen_ai_evaluation_name}} {{gen_ai_evaluation_score_label}}"),
        lines(Text("Surprise", "意外程度"),
              Text("Mean -log p of the first tokens. Good: flat; a step is another model, template or precision.",
                   "首批 token 的平均 -log p。正常：平稳；突变说明模型、模板或精度改变。"),
              "short", _p(narrow, outputs.SURPRISE), _p(narrow, outputs.SURPRISE, 0.95)),
        lines(Text("Length of answers", "回答长度"), Text("Characters. Good: flat.", "字符数。正常：平稳。"),
              "short", _p(narrow, outputs.CHARACTERS), _p(narrow, outputs.CHARACTERS, 0.95)),
        heat(Text("Repetition", "重复程度"),
             Text("Share of an answer that repeats itself. Good: dark at the bottom, nothing above 0.5.",
                  "回答自我重复的比例。正常：集中在底部，0.5 以上没有。"),
             f"sum by (le) (increase({repeated}))", "percentunit"),
        lines(Text("Languages", "语言"), Text("Answers by the language they begin in. Good: as your users speak.",
              "按回答起始语言。正常：与用户语言一致。"), "cps",
              Query(narrow.rate(outputs.LANGUAGE, SEGMENT, "language"), "{{language}}"), stacked=True),
        lines(Text("Grounded in context", "依据上下文程度"),
              Text("Share of an answer that stands in what retrieval brought, a proxy. Good: flat; a fall is retrieval that"
                   " broke.", "回答来自检索内容的比例（近似）。正常：平稳；下降说明检索故障。"),
              "percentunit", _p(narrow, outputs.GROUNDED), high=1),
    ))  # fmt: skip


def _checks(narrow: Narrow) -> Row:
    by = narrow.segment
    return Row(Text("The checks themselves", "检测自身"), (
        lines(Text("Failed and dropped", "失败与丢弃"),
              Text("Answers that a check did not judge, a second. Good: 0.", "每秒未能判断的回答。正常：0。"),
              "cps", *(Query(f"sum by ({narrow.by('check', 'reason')}) (rate({narrow.m(metric, ('check',))[RATE]}))",
                             "{{check}} {{reason}}") for metric in (outputs.FAILURES, outputs.DROPPED))),
        lines(Text("Time for a check", "检测耗时"), Text("Processor time a second, from one answer in sixteen. Good: below"
              " 5 % of a core together.", "每秒处理器时间（按十六分之一抽样）。正常：合计低于 5% 核。"), "percentunit",
              Query(narrow.rate(outputs.CPU_TIME, ("check",), "check"), "{{check}}"), stacked=True),
        table(Text("Marked, by model and check", "按模型与检测的标记率"),
              Text("Last hour. Good: rows of one check agree over models of one kind.",
                   "最近一小时。正常：同类模型的同一检测相近。"),
              (*C_SEGMENT, ("check", Text("Check", "检测"))),
              Query(_share(narrow, f"{by}, check", "1h", check=Match("=~", ".+")), Text("Marked", "标记率"),
                    unit="percentunit", bar=True),
              Query(f"sum by ({by}, check) (increase({narrow.m(outputs.CHECKED, _OF)['1h']}))", Text("Checked", "检测数"),
                    unit="short"), width=8, sort=Text("Marked", "标记率"), hidden=("k8s_namespace_name",)),
    ))  # fmt: skip
