"""Every generated file: pure, from values to text. Whoever calls writes them."""

from collections.abc import Iterator, Mapping

from dashboards import routing, rule_files, runbook_pages
from dashboards.alerts import catalogue
from dashboards.durations import duration, seconds
from dashboards.values import DEFAULTS, Values
from dashboards.values import problems as wrong_values


def files(values: Values) -> Mapping[str, str]:
    """
    Text by path below `dashboards/`. Tests are of the values that are shipped, so that others come without.

    :raises ValueError: the catalogue names something that does not exist: a mistake of ours
    """
    made: dict[str, str] = {}
    chapters = catalogue(values)
    groups = [group for chapter in chapters for group in chapter.groups]
    alerts = [alert for chapter in chapters for alert in chapter.alerts]
    if found := rule_files.problems(groups, alerts, values):
        raise ValueError("\n".join(found))
    for chapter in chapters:
        made[f"generated/rules/{chapter.area}.yaml"] = rule_files.rules_file(chapter, values)
        if values == DEFAULTS:
            made[f"generated/tests/{chapter.area}.yaml"] = rule_files.test_file(
                chapter, f"../rules/{chapter.area}.yaml", values
            )
    made["generated/alertmanager.yaml"] = routing.file(values)
    for alert in alerts:
        made[f"runbooks/{alert.page}"] = runbook_pages.english(alert, values)
        made[f"runbooks/{alert.name}.zh-CN.md"] = runbook_pages.chinese(alert, values)
    return made


def known(values: Values) -> Mapping[str, frozenset[str] | None]:
    """What a query, of a rule or of a panel, may name: for `promql.check`."""
    return rule_files.known([group for chapter in catalogue(values) for group in chapter.groups], values)


def problems(values: Values) -> tuple[str, ...]:
    """What is wrong with values, those that name alerts too: one line each, with what to do."""
    return (*wrong_values(values), *_unknown_alerts(values))


def _unknown_alerts(values: Values) -> Iterator[str]:
    everything = catalogue(Values(budgets=values.budgets))
    alerts = {alert.name: alert for chapter in everything for alert in chapter.alerts}
    for key, names in (("leave_out", values.leave_out), ("hold", tuple(values.hold))):
        for name in names:
            if name not in alerts:
                yield f"{key}: there is no alert {name}; `watchkeeper rules list` names them all"
    for name, text in values.hold.items():
        longest = max((seconds(rule.hold) for rule in alerts[name].rules), default=0.0) if name in alerts else 0.0
        if longest and text == "0s":
            least = duration(values.evaluation_seconds)
            yield f"hold.{name}: without any wait every single scrape fires it; nearest that works: {least}"
