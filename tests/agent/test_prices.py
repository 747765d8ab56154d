from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchkeeper.agent import registry
from watchkeeper.agent.aggregate import Aggregate
from watchkeeper.agent.config import load, mistakes, price_list, root_type
from watchkeeper.agent.prices import CostConfig, PerMillion, Price, PriceList
from watchkeeper.agent.requests import RequestMeter, grouped
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Completion
from watchkeeper.core.vocabulary import cost, requests

EXAMPLE = Path(__file__).parents[2] / "examples" / "prices.yaml"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC).timestamp()


def price(model: str, amount: float = 1.0, **more: Any) -> Price:
    return Price(model, PerMillion(input=amount, output=2 * amount), **more)


def counted(prices: tuple[Price, ...], *calls: Completion) -> dict[tuple[str, ...], float]:
    """Cost by (type, currency), unpriced tokens by (type,)."""
    aggregate = Aggregate(Ledger(), max_series=1000, max_values_per_label=100)
    meter = RequestMeter(aggregate, PriceList(prices))
    meter.record(grouped(calls))
    found: dict[tuple[str, ...], float] = {}
    for point in aggregate.changed()[0]:
        labels = dict(point.labels)
        if point.metric == cost.COST and isinstance(point.value, float):
            found[(labels[requests.TOKEN_TYPE], labels[cost.CURRENCY])] = point.value
        if point.metric == cost.UNPRICED and isinstance(point.value, float):
            found[(labels[requests.TOKEN_TYPE],)] = point.value
    return found


def call(**more: Any) -> Completion:
    known: dict[str, Any] = {"at": NEW_YEAR, "request_model": "m", "input_tokens": 1_000_000, "output_tokens": 0}
    return Completion(**{**known, **more})


def test_cost_is_tokens_times_the_price_of_their_type() -> None:
    listed = Price("m", PerMillion(input=3, output=15), currency="EUR")

    found = counted((listed,), call(output_tokens=500_000), call(output_tokens=500_000))

    assert found == {("input", "EUR"): 6.0, ("output", "EUR"): 15.0}


def test_cached_and_reasoning_tokens_are_not_paid_twice() -> None:
    listed = Price("m", PerMillion(input=10, output=100, cache_read=1, cache_write=12.5, reasoning=50))
    tokens = {"input_tokens": 1000, "cached_input_tokens": 600, "cache_write_tokens": 100, "reasoning_tokens": 30}

    found = counted((listed,), call(output_tokens=40, **tokens))

    assert found == {
        ("input", "USD"): pytest.approx(0.003), ("cache_read", "USD"): pytest.approx(0.0006),
        ("cache_write", "USD"): pytest.approx(0.00125), ("output", "USD"): pytest.approx(0.001),
        ("reasoning", "USD"): pytest.approx(0.0015),
    }  # fmt: skip


def test_a_part_without_a_price_of_its_own_costs_what_the_whole_costs() -> None:
    found = counted((price("m", 4.0),), call(cached_input_tokens=1_000_000, output_tokens=10, reasoning_tokens=10))

    assert found == {("cache_read", "USD"): pytest.approx(4.0), ("reasoning", "USD"): pytest.approx(8e-5)}


def test_a_model_without_a_price_is_unpriced_and_not_free() -> None:
    assert counted((price("other"),), call(output_tokens=7)) == {("input",): 1_000_000, ("output",): 7}


def test_a_type_without_a_price_is_unpriced_and_not_free() -> None:
    found = counted((Price("m", PerMillion(input=1)),), call(output_tokens=7))

    assert found == {("input", "USD"): 1.0, ("output",): 7}


def test_a_price_of_zero_is_a_price() -> None:
    assert counted((price("m", 0.0),), call()) == {("input", "USD"): 0.0}


def test_without_a_price_list_nothing_is_counted() -> None:
    assert counted((), call()) == {}


def test_a_call_pays_the_price_of_its_day() -> None:
    prices = (price("m", 1.0), price("m", 5.0, valid_from=date(2026, 1, 1)))

    assert counted(prices, call(at=NEW_YEAR - 1)) == {("input", "USD"): 1.0}
    assert counted(prices, call(at=NEW_YEAR)) == {("input", "USD"): 5.0}


def test_before_its_first_day_a_price_does_not_hold() -> None:
    assert counted((price("m", valid_from=date(2026, 1, 1)),), call(at=NEW_YEAR - 1)) == {("input",): 1_000_000}


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ((price("*", 1), price("m*", 2), price("m", 3)), 3.0),
        ((price("*", 1), price("m-*", 2)), 1.0),
        ((price("M", 4),), 4.0),
        ((price("m", 1), price("m", 2, provider="p")), 2.0),
        ((price("m", 1), price("m", 2, provider="q")), 1.0),
        ((price("*.b", 1), price("a?b", 2)), None),
    ],
)
def test_the_closest_line_holds(prices: tuple[Price, ...], expected: float | None) -> None:
    found = counted(prices, call(provider="p"))

    assert found == ({("input",): 1_000_000} if expected is None else {("input", "USD"): expected})


def test_the_model_that_answered_goes_before_the_one_asked_for() -> None:
    prices = (price("m", 1.0), price("m-2026*", 2.0))

    assert counted(prices, call(response_model="m-2026-01-01")) == {("input", "USD"): 2.0}
    assert counted(prices, call(response_model="unheard-of")) == {("input", "USD"): 1.0}


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_name_fits_itself_and_its_beginning_with_a_star(model: str, rest: str) -> None:
    name = model.replace("*", "")
    exact, begins = PriceList([price(name)]), PriceList([price(f"{name}*")])

    assert bool(exact.rates([name], "")) == bool(name)
    assert bool(begins.rates([name + rest], "")) == bool(name + rest)


@given(st.text("ab", max_size=8), st.lists(st.text("ab", max_size=3), min_size=1, max_size=4))
def test_stars_stand_for_anything_wherever_they_are(name: str, parts: list[str]) -> None:
    pattern = "*".join(parts)

    assert bool(PriceList([price(pattern)]).rates([name], "")) == (fnmatchcase(name, pattern) and bool(name))


def test_a_long_name_that_nearly_fits_many_stars_holds_up_nothing() -> None:
    listed = PriceList([price(f"{'*a' * 30}*b")])

    assert not listed.rates(["a" * 4000], "")


def test_the_example_list_is_valid_and_every_line_says_where_and_when_it_was_read() -> None:
    lines = price_list(CostConfig(prices_file=str(EXAMPLE)))

    assert len(lines) > 5
    assert all(line.source.startswith("https://") and line.checked_on for line in lines)


def test_the_file_adds_to_the_configured_lines_and_these_win(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("prices: [{model: m, per_million_tokens: {input: 9}}, {model: n, per_million_tokens: {input: 9}}]")

    lines = price_list(CostConfig((price("m", 1.0),), str(file)))

    assert counted(lines, call()) == {("input", "USD"): 1.0}
    assert counted(lines, call(request_model="n")) == {("input", "USD"): 9.0}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("prices: [{model: m, per_million_tokens: {inptu: 1}}]", "prices[0].per_million_tokens.inptu: unknown setting"),
        ("prices: [{model: m, per_million_tokens: {}}]", "no price in it; give input, output or both"),
        ("prices: [{model: m, per_million_tokens: {input: -1}}]", "prices[0].per_million_tokens.input: "),
        ("prices: [{model: m, per_million_tokens: {input: .inf}}]", "expected a finite number"),
        ("prices: [{model: m, per_million_tokens: {input: 1.0e+300}}]", "prices[0].per_million_tokens.input: "),
        ("prices: [{model: m, per_million_tokens: {input: 1}, currency: usd}]", "prices[0].currency: expected text"),
        ("prices: [{model: m, per_million_tokens: {input: 1}, currency: usd}]", "matching regex '^[A-Z]{3}$' ('usd')"),
        ("prices: [{model: '', per_million_tokens: {input: 1}}]", "prices[0].model: '' fits no model"),
        ("prices: [{model: 'm ', per_million_tokens: {input: 1}}]", "prices[0].model: 'm ' fits no model"),
        ("prices: [{model: m, per_million_tokens: {input: 1}, valid_from: soon}]", "prices[0].valid_from: "),
        ("prices: []\nlines: []", "lines: unknown setting"),
        ("prices: {", "not valid YAML"),
        (
            "prices: [{model: m, per_million_tokens: {input: 1}}, {model: M, per_million_tokens: {input: 2}}]",
            "prices[1]: same model, provider and valid_from as",
        ),
    ],
)
def test_a_wrong_list_is_said_with_file_and_line(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)

    with pytest.raises(ConfigError) as caught:
        price_list(CostConfig(prices_file=str(file)))

    assert len(caught.value.problems) == 1
    assert problem in caught.value.problems[0]
    assert str(file) in caught.value.problems[0]


def test_a_list_that_cannot_be_read_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("cost: {prices_file: /nowhere/prices.yaml}")
    sources, exporters = registry.sources(), registry.exporters()

    settings = load(config, {}, root_type(sources, exporters))

    assert mistakes(settings, sources, exporters) == (
        "cost.prices_file: /nowhere/prices.yaml: No such file or directory; give a readable file",
    )


def test_prices_survive_being_written_as_json_schema_values() -> None:
    line = price("m", valid_from=date(2026, 1, 1), checked_on=date(2026, 2, 3))

    assert msgspec.json.decode(msgspec.json.encode(line), type=Price) == line
