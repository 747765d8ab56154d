"""The governance record for who asks by the control API. Loads what reports need; imported at the first question."""

from http import HTTPStatus
from pathlib import Path

from dashboards.values import DEFAULTS
from exporters.store import StoreConfig
from watchkeeper.agent.control.operations import RecordWanted
from watchkeeper.agent.control.refusals import RefusedError
from watchkeeper.agent.references.observations import FOLDER, Wanted
from watchkeeper.agent.report import attained, sources
from watchkeeper.agent.report.gather import gather
from watchkeeper.agent.report.period import Period, parse
from watchkeeper.agent.report.places import Places
from watchkeeper.agent.report.record import Record
from watchkeeper.core.errors import ConfigError


def governance(store: StoreConfig, references: Path, days_per_alarm: float, wanted: RecordWanted, now: float) -> Record:
    """
    With the objectives that watchkeeper ships, from the store and from what this process observed.

    :param now: unix seconds
    :raises RefusedError: no period, or one that has not begun; the store is away
    """
    period = _period(wanted.period, now)
    observed = Path(store.state_folder) / FOLDER if store.state_folder else None
    if observed is not None and not observed.is_dir():
        observed = None
    places = Places(references, observed, store, days_per_alarm)
    whose = Wanted(wanted.namespace, wanted.service, wanted.model)
    try:
        read = sources.read(places, period, whose, attained.limits(DEFAULTS.slos))
    except ConfigError as error:
        raise RefusedError(HTTPStatus.SERVICE_UNAVAILABLE, "; ".join(error.problems)) from None
    return gather(read, DEFAULTS, None, days_per_alarm, now)


def _period(text: str, now: float) -> Period:
    try:
        period = parse(text, now)
    except ConfigError:
        said = "query: period: give a month like 2026-10, days like 2026-10-05/2026-10-11, or last-month"
        raise RefusedError(HTTPStatus.BAD_REQUEST, said) from None
    if period.since > now:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "query: period: it has not begun")
    return period
