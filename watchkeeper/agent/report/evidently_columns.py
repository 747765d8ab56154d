"""Counts in bins as the rows that Evidently takes, what it says of them, and what its default verdict is worth."""

import math
import os
import warnings
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np

from detectors.drift import distances
from detectors.drift.bands import Floats
from detectors.drift.kinds import Kind
from detectors.drift.packs import Pack
from watchkeeper.agent.report import chance
from watchkeeper.agent.report.record import DriftOfPeriod
from watchkeeper.core.errors import ConfigError

MOST_ROWS: Final = 50_000
"""of a column handed to Evidently on each side; more are thinned out in proportion"""
TOLERANCE: Final = 1e-9
"""within which its numbers are ours, where a column is `same`"""
_DRAWS: Final = 200
_BINS: Final = " (bins)"
_FLOOR: Final = 1e-4
_SMALL: Final = 1_000
"""rows of a reference up to which Evidently tests by p-value, above by distance"""
_FEW_VALUES: Final = 5
_OFTEN: Final = 0.1
"""false verdicts, above which a right one is luck"""


class Column(msgspec.Struct, frozen=True):
    """One stream as Evidently is given it: rows per bin on both sides."""

    name: str
    pack: Pack
    window: Floats
    reference: Floats
    is_whole: bool
    """nothing was thinned out"""

    @property
    def middles(self) -> Floats | None:
        """Of the bins of a number, as `distances.wasserstein` takes them; None where bins have no order or width."""
        edges = np.asarray(self.pack.edges)
        if self.pack.kind not in (Kind.NUMBER, Kind.SHARE) or edges.size < 2:
            return None
        return np.concatenate([edges[:1], edges[:-1] + np.diff(edges) / 2, edges[-1:]])


class Verdict(msgspec.Struct, frozen=True):
    """Evidently on one stream: its default verdict, the same distances as ours, and what they are by ours."""

    namespace: str
    service: str
    model: str
    signal: str
    reference: str
    rows: int
    reference_rows: int
    default_method: str
    default_score: float
    default_threshold: float
    default_is_drift: bool
    cries_wolf: float
    """share of pairs of samples of these sizes, both of the reference, that this default calls drift"""
    is_listed: bool
    """ours, for the period"""
    psi: float
    psi_ours: float
    jensen_shannon: float
    """divergence in bits, made of the distance that it gives"""
    jensen_shannon_ours: float
    wasserstein: float | None
    wasserstein_ours: float | None
    ks_p_value: float | None
    kolmogorov_smirnov_ours: float | None
    is_same: bool
    """all rows were handed over, and no bin is so rare that the two fill empty ones differently"""

    @property
    def verdict(self) -> str:
        """agrees, right by chance, false alarm (Evidently's default), or missed (by it)."""
        if self.default_is_drift == self.is_listed:
            return "right by chance" if not self.is_listed and self.cries_wolf > _OFTEN else "agrees"
        return "false alarm" if self.default_is_drift else "missed"


def column(name: str, pack: Pack, window: Floats, reference: Floats) -> Column:
    fits = max(window.sum(), reference.sum()) <= MOST_ROWS
    return Column(
        name, pack, _thinned(window), _thinned(reference), bool(fits and (reference == np.floor(reference)).all())
    )


def _thinned(counts: Floats) -> Floats:
    """Whole rows, at most as many as are taken, in proportion: the largest remainders are rounded up."""
    total = min(MOST_ROWS, round(float(counts.sum())))
    exact = counts * (total / counts.sum())
    rows = np.floor(exact)
    left = total - int(rows.sum())
    rows[np.argsort(rows - exact, kind="stable")[:left]] += 1
    return np.asarray(rows)


def run(columns: Sequence[Column], title: str) -> Any:
    """
    Evidently's snapshot of some columns.

    :raises ConfigError: it is not installed
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        import pandas
        from evidently import DataDefinition, Dataset, Report
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"a report of drift needs the package {error.name}; run: pip install 'watchkeeper[report]'"
        ) from None
    numbers = [one.name for one in columns if one.middles is not None]
    words = [f"{one.name}{_BINS}" if one.middles is not None else one.name for one in columns]
    definition = DataDefinition(numerical_columns=numbers or None, categorical_columns=words)
    frames = [
        Dataset.from_pandas(pandas.DataFrame(_frame(columns, side, pandas)), data_definition=definition)
        for side in ("window", "reference")
    ]
    report = Report(_metrics(columns), include_tests=True, metadata={"made": title})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return report.run(*frames)


def _frame(columns: Sequence[Column], side: str, pandas: Any) -> dict[str, Any]:
    """
    Columns of different lengths: what is missing at the end is left out by Evidently. Rows are in a random order,
    always the same, so that its charts along the rows show no course that was not there.
    """
    found: dict[str, Any] = {}
    for one in columns:
        places = np.repeat(np.arange(one.pack.bins), getattr(one, side).astype(np.int64))
        np.random.default_rng(0).shuffle(places)
        labels = np.asarray(_labels(one.pack), dtype=object)[places]
        middles = one.middles
        if middles is None:
            found[one.name] = pandas.Series(labels)
        else:
            found[one.name] = pandas.Series(middles[places])
            found[f"{one.name}{_BINS}"] = pandas.Series(labels)
    return found


def _labels(pack: Pack) -> list[str]:
    if pack.kind is Kind.CATEGORY:
        return [*pack.categories, "other"]
    if pack.kind is Kind.FLAG:
        return ["no", "yes"]
    return [f"bin {place:02d}" for place in range(pack.bins)]


def _metrics(columns: Sequence[Column]) -> list[Any]:
    from evidently.metrics import ValueDrift

    found = []
    for one in columns:
        words = one.name if one.middles is None else f"{one.name}{_BINS}"
        found += [ValueDrift(column=one.name)]
        found += [ValueDrift(column=words, method="psi"), ValueDrift(column=words, method="jensenshannon")]
        if one.middles is not None:
            found += [ValueDrift(column=one.name, method="wasserstein"), ValueDrift(column=one.name, method="ks")]
    return found


def verdicts(columns: Sequence[Column], rows: Sequence[DriftOfPeriod], snapshot: Any) -> list[Verdict]:
    """:param rows: ours, of the same columns"""
    told = msgspec.json.decode(snapshot.json())
    drifts = {test["metric_config"]["metric_id"]: test["status"] == "FAIL" for test in told["tests"]}
    metrics = iter(told["metrics"])
    found = []
    for one, row in zip(columns, rows, strict=True):
        default, psi, jensen_shannon = next(metrics), next(metrics), next(metrics)
        wasserstein, ks = (next(metrics), next(metrics)) if one.middles is not None else (None, None)
        method = default["config"]["method"]
        is_ordered = one.middles is not None
        ours = distances.wasserstein(one.window, one.reference, one.pack.edges)
        found.append(
            Verdict(
                row.namespace,
                row.service,
                row.model,
                row.signal,
                row.reference,
                int(one.window.sum()),
                int(one.reference.sum()),
                default_method=method,
                default_score=float(default["value"]),
                default_threshold=float(default["config"]["threshold"]),
                default_is_drift=drifts[default["id"]],
                cries_wolf=cries_wolf(one),
                is_listed=row.is_listed,
                psi=float(psi["value"]),
                psi_ours=distances.psi(one.window, one.reference).value,
                jensen_shannon=float(jensen_shannon["value"]) ** 2 / math.log(2),
                jensen_shannon_ours=distances.jensen_shannon(one.window, one.reference).value,
                wasserstein=float(wasserstein["value"]) if wasserstein else None,
                wasserstein_ours=ours if is_ordered else None,
                ks_p_value=float(ks["value"]) if ks else None,
                kolmogorov_smirnov_ours=(
                    distances.kolmogorov_smirnov(one.window, one.reference).value if is_ordered else None
                ),
                is_same=one.is_whole and not _is_rare(one),
            )
        )
    return found


def _is_rare(one: Column) -> bool:
    shares = np.concatenate([one.window / one.window.sum(), one.reference / one.reference.sum()])
    return bool(((shares > 0) & (shares <= _FLOOR)).any())


def cries_wolf(one: Column) -> float:
    """How often Evidently's default method calls drift what is none, at these sizes: drawn from the reference."""
    windows, references = chance.drawn(one.window, one.reference, _DRAWS)
    n, m = one.window.sum(), one.reference.sum()
    values = int(((one.window > 0) | (one.reference > 0)).sum())
    if m > _SMALL:
        if one.middles is not None and values > _FEW_VALUES:
            return float((_wasserstein(windows, references, one.middles) >= 0.1).mean())
        nats = np.maximum(0.0, chance.jensen_shannon(windows, references)) * math.log(2)
        return float((np.sqrt(nats) >= 0.1).mean())
    if one.middles is not None and values > _FEW_VALUES:
        from scipy.stats import kstwo

        apart = np.abs(np.cumsum(windows, axis=1) - np.cumsum(references, axis=1)).max(axis=1)
        return float((kstwo.sf(apart, round(n * m / (n + m))) <= 0.05).mean())
    return _by_counts(windows * n, references * m, values)


def _by_counts(windows: Floats, references: Floats, values: int) -> float:
    """Of a word: the test of two proportions, or chi square with the reference taken as exact."""
    from scipy.stats import chi2, norm

    n, m = windows.sum(axis=1), references.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if values <= 2:
            place = int(np.argmax(references[0]))
            p, q = windows[:, place] / n, references[:, place] / m
            pooled = (windows[:, place] + references[:, place]) / (n + m)
            z = (p - q) / np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
            return float((2 * norm.sf(np.abs(np.nan_to_num(z))) < 0.05).mean())
        expected = references * (n / m)[:, None]
        terms = np.where(expected > 0, (windows - expected) ** 2 / expected, np.where(windows > 0, np.inf, 0.0))
        used = ((windows > 0) | (references > 0)).sum(axis=1)
        return float((chi2.sf(terms.sum(axis=1), used - 1) < 0.05).mean())


def _wasserstein(windows: Floats, references: Floats, middles: Floats) -> Floats:
    apart = np.abs(np.cumsum(windows - references, axis=1))[:, :-1] @ np.diff(middles)
    means = references @ middles
    return np.asarray(apart / np.maximum(np.sqrt(references @ middles**2 - means**2), 0.001))
