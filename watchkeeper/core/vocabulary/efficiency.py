"""What a token takes of the devices that make it, where a pod's devices and tokens are known in one process."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric
from watchkeeper.core.vocabulary.cost import CURRENCY

POD: Final = ("k8s.namespace.name", "k8s.pod.name")

ENERGY_PER_TOKEN: Final = Metric(
    "watchkeeper.energy.per_token", Kind.GAUGE, "J/{token}",
    "Energy of a pod's devices alone (not host, not cooling) per output token, over the last minutes.", POD,
)  # fmt: skip
DEVICE_TIME_PER_TOKEN: Final = Metric(
    "watchkeeper.device.time.per_token", Kind.GAUGE, "s/{token}",
    "Device-seconds for which a pod had its devices per output token, over the last minutes.", POD,
)  # fmt: skip
DEVICE_COST: Final = Metric(
    "watchkeeper.device.cost", Kind.COUNTER, "",
    "Cost of the devices that a pod has, busy or not, by the configured price of an hour, in units of `currency`.",
    ("hw.vendor", "hw.model", *POD, CURRENCY),
)  # fmt: skip
DEVICE_COST_PER_TOKEN: Final = Metric(
    "watchkeeper.device.cost.per_token", Kind.GAUGE, "",
    "Cost of a pod's devices per output token, over the last minutes, in units of `currency`.", (*POD, CURRENCY),
)  # fmt: skip

METRICS: Final = (ENERGY_PER_TOKEN, DEVICE_TIME_PER_TOKEN, DEVICE_COST, DEVICE_COST_PER_TOKEN)
