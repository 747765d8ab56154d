"""The pod that a sidecar stands in: whoever it sees there and tells no pod, is of this one."""

from collections.abc import Iterator
from typing import Final

import msgspec

from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels, Reading

NAMESPACE: Final = "k8s.namespace.name"
NAME: Final = "k8s.pod.name"


class PodConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    The pod that a sidecar stands in, from the Downward API. What engines and calls there do not say of themselves is
    taken from here, so that their series meet those of the pod's devices.
    """

    namespace: str = ""
    """metadata.namespace"""
    name: str = ""
    """metadata.name"""


def problems(pod: PodConfig, role: str) -> Iterator[str]:
    """What is wrong with it in this role."""
    if bool(pod.namespace) != bool(pod.name):
        yield "pod: give both namespace and name, or neither"
    if pod.name and role != "sidecar":
        yield "pod: only a sidecar sees one pod alone; remove it, or set role: sidecar"


def placed(reading: Reading, pod: PodConfig) -> Reading:
    """The reading, with this pod wherever none is told. A namespace without a pod beside it makes way."""
    return msgspec.structs.replace(
        reading,
        samples=tuple(
            msgspec.structs.replace(sample, labels=_labels(sample.metric, sample.labels, pod))
            for sample in reading.samples
        ),
        gaps=tuple(msgspec.structs.replace(gap, labels=_labels(gap.metric, gap.labels, pod)) for gap in reading.gaps),
        completions=tuple(
            call if call.pod else msgspec.structs.replace(call, namespace=pod.namespace, pod=pod.name)
            for call in reading.completions
        ),
        judgements=tuple(
            said if said.namespace else msgspec.structs.replace(said, namespace=pod.namespace)
            for said in reading.judgements
        ),
    )


def _labels(metric: Metric, labels: Labels, pod: PodConfig) -> Labels:
    if NAME not in metric.labels or any(name == NAME for name, _ in labels):
        return labels
    own = ((NAMESPACE, pod.namespace), (NAME, pod.name))
    return (*own, *(pair for pair in labels if pair[0] != NAMESPACE))
