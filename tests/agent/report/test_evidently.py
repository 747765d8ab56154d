"""Evidently beside our own figures. It takes five seconds to import, so there is little here."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detectors.drift import packs
from detectors.drift.kinds import Kind
from watchkeeper.agent.command_line import main
from watchkeeper.agent.report import chance
from watchkeeper.agent.report import evidently_columns as columns
from watchkeeper.agent.report.evidently_columns import TOLERANCE


@pytest.fixture(scope="module")
def report(month: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the two services whose rows Evidently is given whole."""
    out = tmp_path_factory.mktemp("drift")
    for service in ("beta", "search"):
        arguments = ["--period", "2025-03", "--state-folder", str(month.state), "--service", service]
        assert main(["report", "drift", *arguments, "--out", str(out / service)]) == 0
    return out


def test_its_numbers_are_ours(report: Path) -> None:
    found = [
        (row, one)
        for service in ("beta", "search")
        for told in [json.loads((report / service / "drift-2025-03.json").read_text())]
        for row, one in zip(told["drift"], told["evidently"], strict=True)
    ]

    assert len(found) == 13
    for row, one in found:
        assert one["is_same"]
        assert (row["signal"], row["observations"]) == (one["signal"], one["rows"])
        for name in ("psi", "jensen_shannon", "wasserstein"):
            if one[name] is not None:
                assert abs(one[name] - one[f"{name}_ours"]) <= TOLERANCE
                assert abs(one[name] - row["distances"][name]["value"]) <= TOLERANCE
        assert (one["ks_p_value"] is None) == (row["kind"] != "number")


def test_its_p_value_of_kolmogorov_smirnov_is_that_of_our_distance(report: Path) -> None:
    from scipy.stats import kstwo

    told = json.loads((report / "search" / "drift-2025-03.json").read_text())
    seen = 0
    for one in told["evidently"]:
        n, m = one["rows"], one["reference_rows"]
        if one["ks_p_value"] is not None and max(n, m) > 10_000:  # below, scipy counts paths
            ours = kstwo.sf(one["kolmogorov_smirnov_ours"], round(n * m / (n + m)))
            assert math.isclose(one["ks_p_value"], ours, rel_tol=1e-6)
            seen += 1
    assert seen == 3


def test_its_own_files_are_whole_and_name_no_text(report: Path) -> None:
    for service in ("beta", "search"):
        [page] = (report / service / "evidently").glob("*.html")
        [told] = (report / service / "evidently").glob("*.json")
        assert page.stat().st_size > 1_000_000
        assert len(json.loads(told.read_text())["metrics"]) > 20
        ours = (report / service / "drift-2025-03.html").read_text()
        assert f"evidently/{page.name}" in ours


def test_it_is_said_where_the_default_verdict_is_worth_nothing(report: Path) -> None:
    told = json.loads((report / "beta" / "drift-2025-03.json").read_text())
    worth = {one["signal"]: one["cries_wolf"] for one in told["evidently"]}

    assert worth["output_tokens"] > 0.4  # 89 rows beside 2,200: a fixed threshold of Wasserstein's distance
    assert worth["time_to_first_token"] > 0.4
    assert worth["pii"] < 0.05
    page = (report / "beta" / "drift-2025-03.html").read_text()
    assert "right by chance" in page or "false alarm" in page
    missed = json.loads((report / "search" / "drift-2025-03.json").read_text())
    listed = [one for one in missed["evidently"] if one["is_listed"]]
    assert [one["signal"] for one in listed] == ["output_tokens"]


@pytest.mark.parametrize(
    ("kind", "window", "reference", "method"),
    [
        (Kind.NUMBER, 60, 3000, "wasserstein"),
        (Kind.NUMBER, 60, 800, "ks"),
        (Kind.CATEGORY, 60, 3000, "jensenshannon"),
        (Kind.CATEGORY, 700, 800, "chisquare"),
        (Kind.FLAG, 60, 800, "z"),
    ],
)
def test_how_often_it_cries_wolf_is_what_its_own_code_does(
    kind: Kind, window: int, reference: int, method: str
) -> None:
    """Our rows of chance through Evidently's functions, a few of them, agree one by one."""
    import pandas
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    chances = np.random.default_rng(5)
    values: Any = {
        Kind.NUMBER: lambda: chances.lognormal(0, 0.5, reference),
        Kind.CATEGORY: lambda: [str(one) for one in chances.choice(list("abcdefgh"), reference)],
        Kind.FLAG: lambda: (chances.random(reference) < 0.3).astype(float),
    }[kind]()
    pack = packs.build("signal", kind, values, made_at=1.0)
    counts = np.asarray(pack.strata["all"].counts, dtype=np.float64)
    one = columns.column("signal", pack, np.full(pack.bins, window / pack.bins), counts)
    windows, references = chance.drawn(one.window, one.reference, 200)
    labels = one.middles if one.middles is not None else np.arange(pack.bins)
    column_type = ColumnType.Categorical if one.middles is None else ColumnType.Numerical
    flagged = 0
    for shares, others in list(zip(windows, references, strict=True)):
        current, before = (
            pandas.Series(np.repeat(labels, np.rint(row * total).astype(int)))
            for row, total in ((shares, window), (others, reference))
        )
        test = get_stattest(before, current, column_type, method)
        flagged += test(before, current, column_type, None).drifted

    assert columns.cries_wolf(one) == pytest.approx(flagged / 200, abs=0.031)


def test_thinned_rows_keep_their_shares() -> None:
    chances = np.random.default_rng(2)
    pack = packs.build("duration", Kind.NUMBER, chances.lognormal(0, 0.5, 20_000), made_at=1.0)
    window = chances.multinomial(3_000_000, chances.dirichlet(50 * np.ones(pack.bins))).astype(np.float64)

    one = columns.column("duration", pack, window, np.asarray(pack.strata["all"].counts, dtype=np.float64))

    assert not one.is_whole
    assert one.window.sum() == columns.MOST_ROWS
    assert np.abs(one.window / one.window.sum() - window / window.sum()).max() <= 1 / columns.MOST_ROWS
