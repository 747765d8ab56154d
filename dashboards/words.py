"""Words of an alert as Prometheus fills them in, and as a test expects them filled in."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote_plus

from dashboards.alert import Alert, Fired, Rule, Text
from dashboards.promql import ALERTS_FOR_STATE
from dashboards.values import Values

VARIABLES: Final = {
    "k8s_namespace_name": "namespace", "service_name": "service", "gen_ai_request_model": "model",
    "k8s_pod_name": "pod", "hw_id": "device", "signal": "signal", "tenant": "tenant", "slo": "slo", "check": "check",
    "source": "source",
}  # fmt: skip
"""labels that a dashboard can be narrowed by, and the names of its variables"""
_BEFORE_SECONDS: Final = 3600
_NOW: Final = Text("just now", "刚刚")


def annotations(alert: Alert, rule: Rule, values: Values) -> dict[str, str]:
    """Templates: subject, value, since when, and where to look."""
    state = _state(alert, rule)

    def fill(text: str, now: str) -> str:
        when = _row(alert, state, "humanizeTimestamp", now)
        return _fields(text, lambda label: f"{{{{ $labels.{label} }}}}", alert.show, when)

    said = {
        "summary": fill(alert.summary.en, _NOW.en),
        "summary_zh": fill(alert.summary.zh, _NOW.zh),
        "description": fill(alert.detail.en, _NOW.en),
        "description_zh": fill(alert.detail.zh, _NOW.zh),
    }
    begin = _row(alert, f"({state} - {_BEFORE_SECONDS}) * 1000", 'printf "%.0f"', "now-1h")
    narrowed = "".join(
        f"{{{{ with $labels.{label} }}}}&var-{variable}={{{{ . | urlquery }}}}{{{{ end }}}}"
        for label, variable in _variables(alert, values)
    )
    return {
        **said,
        **_pages(alert, values),
        "dashboard_url": f"{_dashboard(alert, values)}?from={begin}&to=now{narrowed}",
    }


def expected(alert: Alert, fired: Fired, values: Values) -> dict[str, str]:
    """What `annotations` come to for one fired alert."""
    when = str(datetime.fromtimestamp(fired.since, UTC))[:-6] + " +0000 UTC"

    def fill(text: str) -> str:
        return _fields(text, lambda label: fired.labels.get(label, ""), fired.value, when)

    begin = f"{(fired.since - _BEFORE_SECONDS) * 1000:.0f}"
    narrowed = "".join(
        f"&var-{variable}={quote_plus(fired.labels[label])}"
        for label, variable in _variables(alert, values)
        if fired.labels.get(label)
    )
    return {
        "summary": fill(alert.summary.en),
        "summary_zh": fill(alert.summary.zh),
        "description": fill(alert.detail.en),
        "description_zh": fill(alert.detail.zh),
        **_pages(alert, values),
        "dashboard_url": f"{_dashboard(alert, values)}?from={begin}&to=now{narrowed}",
    }


def _fields(text: str, of_label: Callable[[str], str], value: str, since: str) -> str:
    special = {"value": value, "since": since}
    return re.sub(r"\{(\w+)\}", lambda field: special.get(field[1]) or of_label(field[1]), text)


def _state(alert: Alert, rule: Rule) -> str:
    """Prometheus's own series of since when this very alert has been true; `%q` stands for each of its labels."""
    labels = "".join(f",{label}=%q" for label in alert.labels)
    return f'{ALERTS_FOR_STATE}{{alertname="{alert.name}",severity="{rule.severity}"{labels}}}'


def _row(alert: Alert, query: str, found: str, otherwise: str) -> str:
    """`found` over the first row of a query in which labels are to be filled in, `otherwise` without one."""
    arguments = "".join(f" $labels.{label}" for label in alert.labels)
    made = f"printf `{query}`{arguments}" if arguments else f"`{query}`"
    return f"{{{{ with {made} | query }}}}{{{{ . | first | value | {found} }}}}{{{{ else }}}}{otherwise}{{{{ end }}}}"


def _variables(alert: Alert, values: Values) -> list[tuple[str, str]]:
    known = VARIABLES | {values.node_label: "node"} | {label: label for label in values.extra_labels}
    return [(label, known[label]) for label in alert.labels if label in known]


def _pages(alert: Alert, values: Values) -> dict[str, str]:
    base = f"{values.runbooks_url.rstrip('/')}/" if values.runbooks_url else ""
    return {"runbook_url": f"{base}{alert.name}.md", "runbook_url_zh": f"{base}{alert.name}.zh-CN.md"}


def _dashboard(alert: Alert, values: Values) -> str:
    return f"{values.grafana_url.rstrip('/')}/d/{alert.runbook.dashboard}"
