"""Every dashboard, one file each. `boards` is all of them for one set of values; nothing in here imports grafanalib."""

from types import ModuleType
from typing import Final

from dashboards.grafana import cost, drift, fleet, governance, monitor, node, output, service, slo
from dashboards.grafana.board import Board
from dashboards.values import Values

BOARDS: Final[tuple[ModuleType, ...]] = (fleet, slo, service, node, drift, output, cost, governance, monitor)


def boards(values: Values) -> tuple[Board, ...]:
    return tuple(module.board(values) for module in BOARDS)
