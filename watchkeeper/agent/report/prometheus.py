"""What a Prometheus knows of a period: objectives as the shipped rules record them, and items taken in and lost."""

import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from dashboards.alerts.slo import BAD_EVENTS, EVENTS, OBJECTIVE
from dashboards.scope import MODEL, NAMESPACE, SERVICE
from watchkeeper.agent.report.attained import attained
from watchkeeper.agent.report.period import Period
from watchkeeper.agent.report.record import SloAttained
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.observed import Segment
from watchkeeper.core.vocabulary.health import ACCEPTED, DROPPED

_SECONDS: Final = 60.0
_MOST_BYTES: Final = 64 << 20
_STEP_SECONDS: Final = 300
"""between two of what the rules record of objectives"""


class _Row(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct):
    result: list[_Row]


class _Answer(msgspec.Struct):
    data: _Data


class Prometheus:
    """:param url: of its root, such as http://prometheus:9090"""

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"--prometheus: '{url}' is no address; write it as http://host:9090")
        self._url = url.rstrip("/")

    def objectives(self, period: Period) -> tuple[SloAttained, ...]:
        """:raises ConfigError: it cannot be asked"""
        window = f"[{int(period.until - period.since)}s]"
        events = self._by_series(f"sum_over_time({EVENTS.name}{window})", period)
        bad = self._by_series(f"sum_over_time({BAD_EVENTS.name}{window})", period)
        steps = self._by_series(f"count_over_time({EVENTS.name}{window})", period)
        promised = self._by_series(f"last_over_time({OBJECTIVE.name}{window})", period)
        found = []
        for key, count in sorted(events.items()):
            if count <= 0 or not 0 < promised.get(key, 0.0) < 1:
                continue
            slo, sli, *segment = key
            covered = min(1.0, steps[key] * _STEP_SECONDS / (period.until - period.since))
            one = Segment(*segment)
            found.append(attained((slo, sli, 0.0, promised[key]), one, count, bad.get(key, 0.0), "prometheus", covered))
        return tuple(found)

    def items(self, period: Period) -> tuple[float | None, float | None]:
        """Accepted and dropped ones. :raises ConfigError: it cannot be asked"""
        window = f"[{int(period.until - period.since)}s]"
        accepted, dropped = (
            self._ask(f"sum(increase({metric.prometheus_name}{window}))", period) for metric in (ACCEPTED, DROPPED)
        )
        return (
            float(accepted[0].value[1]) if accepted else None,
            float(dropped[0].value[1]) if dropped else (0.0 if accepted else None),
        )

    def _by_series(self, query: str, period: Period) -> Mapping[tuple[str, ...], float]:
        names = ("slo", "sli", NAMESPACE, SERVICE, MODEL)
        return {
            tuple(row.metric.get(name, "") for name in names): float(row.value[1]) for row in self._ask(query, period)
        }

    def _ask(self, query: str, period: Period) -> list[_Row]:
        asked = urllib.parse.urlencode({"query": query, "time": period.until})
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/query?{asked}", timeout=_SECONDS) as answer:  # noqa: S310 - of a scheme that was looked at
                data = answer.read(_MOST_BYTES)
        except urllib.error.HTTPError as error:
            raise ConfigError(f"--prometheus: {self._url}: {_reason(error)}") from None
        except OSError as error:
            raise ConfigError(
                f"--prometheus: {self._url}: cannot be asked: {getattr(error, 'reason', error)}"
            ) from None
        try:
            return msgspec.json.decode(data, type=_Answer).data.result
        except msgspec.MsgspecError:
            raise ConfigError(f"--prometheus: {self._url}: what answers there is no Prometheus") from None


def _reason(error: urllib.error.HTTPError) -> str:
    """What Prometheus says of a query that it refuses."""
    told: Any = None
    with contextlib.suppress(ValueError):
        told = json.loads(error.read(10_000))
    return str(told["error"])[:300] if isinstance(told, dict) and "error" in told else f"answered {error.code}"
