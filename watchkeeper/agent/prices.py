"""A price list, and which of its prices holds for a call. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Annotated, Final

import msgspec

Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]

_MILLION: Final = 1e6


class PerMillion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a million tokens of a type cost. A type without a price is counted as unpriced."""

    input: Amount | None = None
    """prompt tokens"""
    output: Amount | None = None
    """answer tokens"""
    cache_read: Amount | None = None
    """prompt tokens read from the provider's cache; left out: as `input`"""
    cache_write: Amount | None = None
    """prompt tokens written to the provider's cache; left out: as `input`"""
    reasoning: Amount | None = None
    """answer tokens spent on thinking; left out: as `output`"""


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the price list."""

    model: str
    """name of the model, as answered or as asked for; `*` stands for anything; case does not matter"""
    per_million_tokens: PerMillion
    """prices by type of token"""
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] = "USD"
    """ISO 4217 code"""
    provider: str = ""
    """gen_ai.provider.name that it holds for; empty: any"""
    valid_from: date = date(1970, 1, 1)
    """first day (UTC) on which it holds, until a later line for the same model does"""
    source: str = ""
    """where the price was read, for whoever reviews the list"""
    checked_on: date | None = None
    """when it was read there"""


class CostConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Prices. With none, no cost is counted."""

    prices: tuple[Price, ...] = ()
    """the price list; of several lines that fit, the exact name wins over the longer pattern over the shorter"""
    prices_file: str = ""
    """YAML file with more lines under the key `prices`, read at start; the same line in both: the one here holds"""


class Rates(msgspec.Struct, frozen=True):
    """A price as it is used: by type of token for one token, from `valid_from` (unix seconds) on."""

    currency: str
    valid_from: float
    per_token: Mapping[str, float]


class PriceList:
    """The lines of a list, found by model and provider."""

    def __init__(self, prices: Sequence[Price]) -> None:
        self._lines = [(re.compile(_pattern(price.model), re.DOTALL), price) for price in prices]

    def __bool__(self) -> bool:
        return bool(self._lines)

    def rates(self, models: Sequence[str], provider: str) -> tuple[Rates, ...]:
        """
        What may hold for a call, best first: the first whose `valid_from` has come is the one.

        :param models: names of the model, the one to prefer first
        """
        found = []
        for model in dict.fromkeys(name.casefold() for name in models if name):
            fitting = [
                price for pattern, price in self._lines if price.provider in ("", provider) and pattern.fullmatch(model)
            ]
            found += sorted(fitting, key=_rank, reverse=True)
        return tuple(_rates(price) for price in found)


def problems(prices: Sequence[Price], path: str) -> Iterator[str]:
    """Two lines that say different things of the same day, and lines that say nothing."""
    seen: dict[tuple[str, str, date], int] = {}
    for index, price in enumerate(prices):
        key = (price.model.casefold(), price.provider, price.valid_from)
        first = seen.setdefault(key, index)
        if first != index:
            yield f"{path}[{index}]: same model, provider and valid_from as {path}[{first}]; keep one"
        if not price.model or price.model != price.model.strip():
            yield f"{path}[{index}].model: '{price.model}' fits no model; give a name without spaces around it"
        if price.per_million_tokens == PerMillion():
            yield f"{path}[{index}].per_million_tokens: no price in it; give input, output or both"


def _pattern(model: str) -> str:
    """
    Of two places where a part between stars fits, the first one is as good as any later: it is never tried again, so
    that no name takes longer than its length times that of the pattern.
    """
    first, *rest = (re.escape(part) for part in model.casefold().split("*"))
    if not rest:
        return first
    *between, last = rest
    return "".join((first, *(f"(?>.*?{part})" for part in between), ".*", last))


def _rank(price: Price) -> tuple[bool, int, bool, date]:
    """An exact name first, then the longer pattern, then a provider's own price, then the newest."""
    return "*" not in price.model, len(price.model), bool(price.provider), price.valid_from


def _rates(price: Price) -> Rates:
    said = price.per_million_tokens
    by_type = {
        "input": said.input,
        "cache_read": said.input if said.cache_read is None else said.cache_read,
        "cache_write": said.input if said.cache_write is None else said.cache_write,
        "output": said.output,
        "reasoning": said.output if said.reasoning is None else said.reasoning,
    }
    return Rates(
        price.currency,
        datetime.combine(price.valid_from, time.min, UTC).timestamp(),
        {name: million / _MILLION for name, million in by_type.items() if million is not None},
    )
