"""What a kubelet tells of its containers' devices, and why it may not tell."""

from enum import StrEnum
from typing import Final

import msgspec

from collector.accelerators.places import Place


class Given(msgspec.Struct, frozen=True):
    """
    Devices that one container has of one resource.

    `resource` is the plugin's resource name (`nvidia.com/gpu`), or of a claim its driver (`gpu.nvidia.com`). `ids` are
    the plugin's own names of the devices, or of a claim the device's name and those of its CDI devices.
    """

    place: Place
    resource: str
    ids: tuple[str, ...]


class Trouble(StrEnum):
    """Why there is no answer. Bounded, because it becomes a label value."""

    MISSING = "missing"
    NOT_PERMITTED = "not_permitted"
    NOT_A_SOCKET = "not_a_socket"
    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    NOT_A_KUBELET = "not_a_kubelet"
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    FAILING = "failing"


ADVICE: Final = {
    Trouble.MISSING: (
        "there is no pod-resources socket; on a Kubernetes node mount /var/lib/kubelet/pod-resources read-only"
        " (microk8s: /var/snap/microk8s/common/var/lib/kubelet/pod-resources),"
        " elsewhere set accelerators.placement.pod_resources_socket to ''"
    ),
    Trouble.NOT_PERMITTED: "the pod-resources socket may not be opened; run as root (uid 0), no capability is needed",
    Trouble.NOT_A_SOCKET: "this is not a socket; mount the directory that holds kubelet.sock, not the file",
    Trouble.REFUSED: "nobody listens on the pod-resources socket; is the kubelet running?",
    Trouble.TIMED_OUT: "the kubelet did not answer in time",
    Trouble.NOT_A_KUBELET: "what listens does not know v1.PodResourcesLister; it takes a kubelet of 1.20 or later",
    Trouble.TOO_LARGE: "the kubelet's answer is longer than any node's should be and was not taken in",
    Trouble.MALFORMED: "the kubelet's answer could not be read",
    Trouble.FAILING: "the kubelet answered with an error",
}  # fmt: skip
"""what the operator reads"""


class KubeletError(Exception):
    """No answer, and why; `detail` is the other side's word for it."""

    def __init__(self, trouble: Trouble, detail: str = "") -> None:
        super().__init__(f"{ADVICE[trouble]} ({detail})" if detail else ADVICE[trouble])
        self.trouble = trouble
