"""What model calls cost, by the operator's own price list."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary.requests import CALL, TOKEN_TYPE

CURRENCY: Final = "currency"

COST: Final = Metric(
    "watchkeeper.cost", Kind.COUNTER, "",
    "Cost of model calls by the configured price list, in units of `currency`. Here the token types are parts that add "
    "up: input is what was neither read from a cache nor written to one, output what was not reasoning.",
    (*CALL, TOKEN_TYPE, CURRENCY),
)  # fmt: skip
UNPRICED: Final = Metric(
    "watchkeeper.cost.unpriced", Kind.COUNTER, "{token}",
    "Tokens for which the configured price list has no price: they are missing in watchkeeper.cost.",
    (*CALL, TOKEN_TYPE),
)  # fmt: skip

METRICS: Final = (COST, UNPRICED)
