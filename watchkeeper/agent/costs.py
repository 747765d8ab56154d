"""What a kind of call costs: counted tokens times the price that holds when the call ended."""

from watchkeeper.agent.aggregate import Aggregate, CounterSeries
from watchkeeper.agent.prices import PriceList, Rates
from watchkeeper.core.records import Completion, Labels
from watchkeeper.core.vocabulary import cost, requests


class Charge:
    """Adds the cost of calls that share every label."""

    def __init__(self, aggregate: Aggregate, prices: PriceList, call: Completion, labels: Labels) -> None:
        self._aggregate = aggregate
        self._labels = labels
        self._rates = prices.rates((call.response_model, call.request_model), call.provider)
        self._costs: dict[tuple[str, str], CounterSeries] = {}
        self._unpriced: dict[str, CounterSeries] = {}

    def add(self, call: Completion) -> None:
        at = call.at
        rates = next((rates for rates in self._rates if rates.valid_from <= at), None)
        for token_type, tokens, rate in _parts(call, rates):
            if rates is None or rate is None:
                self._unpriced_tokens(token_type).add(tokens, at)
            else:
                self._cost(token_type, rates.currency).add(tokens * rate, at)

    def _cost(self, token_type: str, currency: str) -> CounterSeries:
        series = self._costs.get((token_type, currency))
        if series is None:
            labels = (*self._labels, (requests.TOKEN_TYPE, token_type), (cost.CURRENCY, currency))
            series = self._costs[(token_type, currency)] = self._aggregate.counter(cost.COST, labels)
        return series

    def _unpriced_tokens(self, token_type: str) -> CounterSeries:
        series = self._unpriced.get(token_type)
        if series is None:
            labels = (*self._labels, (requests.TOKEN_TYPE, token_type))
            series = self._unpriced[token_type] = self._aggregate.counter(cost.UNPRICED, labels)
        return series


def _parts(call: Completion, rates: Rates | None) -> list[tuple[str, int, float | None]]:
    """Type, tokens and price per token of the parts of a call that add up to all its tokens."""
    read, written, reasoning = call.cached_input_tokens or 0, call.cache_write_tokens or 0, call.reasoning_tokens or 0
    tokens = {
        "input": max((call.input_tokens or 0) - read - written, 0),
        "cache_read": read,
        "cache_write": written,
        "output": max((call.output_tokens or 0) - reasoning, 0),
        "reasoning": reasoning,
    }
    return [(name, count, rates.per_token.get(name) if rates else None) for name, count in tokens.items() if count]
