"""What somebody hears of alerts that fire: Alertmanager's routes, waits and inhibition, worked out without a server."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from dashboards import routing
from dashboards.durations import seconds
from dashboards.values import Values

_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"(.*)"')
_AFTERWARDS: Final = 1.0
"""seconds after an alert's end at which it mutes nothing any more"""


class Alarm(msgspec.Struct, frozen=True):
    """An alert with all its labels, and when it fires: from and to (unix seconds), once or several times."""

    labels: Mapping[str, str]
    spans: tuple[tuple[float, float], ...]

    def fires(self, at: float) -> bool:
        return any(begin <= at <= end for begin, end in self.spans)


def told(alarms: Sequence[Alarm], values: Values) -> list[float | None]:
    """
    When the first message about each is sent; None: never, since something mutes it all the time or nobody is told.

    >>> labels = {"component": "watchkeeper", "area": "slo", "severity": "critical", "alertname": "X"}
    >>> told([Alarm(labels, ((0.0, 600.0),))], Values())
    [30.0]
    """
    document = routing.document(values)
    rules = document["inhibit_rules"]
    ends = [end + _AFTERWARDS for alarm in alarms for _, end in alarm.spans]
    made: list[float | None] = []
    for alarm in alarms:
        wait = _wait(document["route"], alarm.labels)
        sources = [one for one in alarms if any(_mutes(rule, one.labels, alarm.labels) for rule in rules)]
        moments = sorted(_moments(alarm, wait, ends)) if wait is not None else []
        made.append(next((at for at in moments if not any(one.fires(at) for one in sources)), None))
    return made


def messages(alarm: Alarm, values: Values) -> Iterator[tuple[str, tuple[str, ...]]]:
    """By receiver and by what tells its messages apart: alarms that agree in these come in one."""
    route = routing.document(values)["route"]
    for one in _taken(route, alarm.labels):
        if one["receiver"] != routing.NOBODY:
            yield (
                one["receiver"],
                tuple(alarm.labels.get(label, "") for label in one.get("group_by", route["group_by"])),
            )


def _moments(alarm: Alarm, wait: float, ends: Sequence[float]) -> Iterator[float]:
    """After the wait, and whenever something ends that may have muted it."""
    for begin, end in alarm.spans:
        yield from (at for at in (begin + wait, *ends) if begin + wait <= at <= end)


def _wait(route: Mapping[str, Any], labels: Mapping[str, str]) -> float | None:
    """The shortest of the routes that take it; None: they lead to nobody."""
    heard = [one for one in _taken(route, labels) if one["receiver"] != routing.NOBODY]
    return min((seconds(one.get("group_wait", route["group_wait"])) for one in heard), default=None)


def _taken(route: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The routes that an alert goes, the root where no other takes it."""
    for one in route["routes"]:
        if _matches(one["matchers"], labels):
            yield one
            if not one.get("continue"):
                return
    yield route


def _mutes(rule: Mapping[str, Any], source: Mapping[str, str], target: Mapping[str, str]) -> bool:
    """What is a source and a target at once mutes nothing that is, too: else two would mute each other."""
    if source == target or not (
        _matches(rule["source_matchers"], source) and _matches(rule["target_matchers"], target)
    ):
        return False
    if _matches(rule["source_matchers"], target) and _matches(rule["target_matchers"], source):
        return False
    return all(source.get(label, "") == target.get(label, "") for label in rule["equal"])


def _matches(matchers: Sequence[str], labels: Mapping[str, str]) -> bool:
    return all(_match(matcher, labels) for matcher in matchers)


def _match(matcher: str, labels: Mapping[str, str]) -> bool:
    found = _MATCHER.fullmatch(matcher)
    if found is None:
        raise ValueError(f"not a matcher as the routing writes it: {matcher}")
    name, operator, wanted = found.groups()
    value = labels.get(name, "")
    is_equal = bool(re.fullmatch(wanted, value)) if operator.endswith("~") else value == wanted
    return is_equal != operator.startswith("!")
