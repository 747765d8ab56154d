"""Runbooks, a page for each alert in English and one in Chinese: what is read at three in the morning."""

import re
from collections.abc import Mapping
from typing import Final

from dashboards.alert import PREFIX, Alert, Rule
from dashboards.rule_files import held
from dashboards.values import Values
from dashboards.words import VARIABLES

_SEVERITY_EN: Final = {"critical": "page", "warning": "ticket", "info": "in working hours", "none": "always on"}
_SEVERITY_ZH: Final = {"critical": "呼叫", "warning": "工单", "info": "工作时间处理", "none": "始终触发"}


def english(alert: Alert, values: Values) -> str:
    return _linked(_english(alert, values), alert, ".md")


def chinese(alert: Alert, values: Values) -> str:
    return _linked(_chinese(alert, values), alert, ".zh-CN.md")


def _linked(page: str, alert: Alert, ending: str) -> str:
    """Other alerts that the page names are one click away."""
    return re.sub(rf"(?<![\[(/#`\w])(?!{alert.name}\b)({PREFIX}[A-Z]\w+)", rf"[\1](\1{ending})", page)


def _english(alert: Alert, values: Values) -> str:
    levels = "; ".join(_level(alert, rule, values, _SEVERITY_EN, "after") for rule in alert.rules)
    book = alert.runbook
    return f"""# {alert.name}

{alert.title.en}. **{levels}.** [中文]({alert.name}.zh-CN.md)

**Means.** {book.meaning.en}

**First.** {book.first.en}

**Usual false alarm.** {book.false_alarm.en}

**Next.** {book.next.en}

**Where.** Dashboard `{book.dashboard}`: `dashboard_url` opens it from an hour before{_narrowed(alert, ", by {}")}.

**Fires when**

{_conditions(alert)}
"""


def _chinese(alert: Alert, values: Values) -> str:
    levels = "；".join(_level(alert, rule, values, _SEVERITY_ZH, "持续") for rule in alert.rules)
    book = alert.runbook
    return f"""# {alert.name}

{alert.title.zh}。**{levels}。** [English]({alert.name}.md)

**含义。** {book.meaning.zh}

**先做。** {book.first.zh}

**常见误报。** {book.false_alarm.zh}

**接着看。** {book.next.zh}

**看板。** `{book.dashboard}`：告警中的 `dashboard_url` 从开始前一小时打开{_narrowed(alert, "，并按 {} 过滤")}。

**触发条件**

{_conditions(alert)}
"""


def _level(alert: Alert, rule: Rule, values: Values, severities: Mapping[str, str], after: str) -> str:
    hold = held(alert, rule, values)
    return severities[rule.severity] + (f" {after} {hold}" if hold != "0s" else "")


def _narrowed(alert: Alert, words: str) -> str:
    names = [VARIABLES.get(label, label) for label in alert.labels if label in VARIABLES or label == "node"]
    return words.format(", ".join(names)) if names else ""


def _conditions(alert: Alert) -> str:
    return "\n\n".join(f"```promql\n# {rule.severity}\n{rule.expr}\n```" for rule in alert.rules)
