"""MLU-Links and PCIe of one card."""

import ctypes
from collections.abc import Sequence
from typing import Any, Final

from collector.accelerators.cambricon import structs
from collector.accelerators.driver import DriverError, Meaning, Measured
from collector.accelerators.native import Native
from watchkeeper.core.metric import Metric
from watchkeeper.core.records import Labels
from watchkeeper.core.vocabulary import devices as vocabulary

MOST_PORTS: Final = 64
_MLULINK: Final = ((vocabulary.LINK, "mlulink"),)
_PCIE: Final = ((vocabulary.LINK, "pcie"),)
_NOTHING: Final = 2**64 - 1


class Links:
    """The number of ports is asked once."""

    def __init__(self, library: Native, handle: int) -> None:
        self._library = library
        self._handle = handle

    def ports(self) -> int:
        """:raises DriverError: UNSUPPORTED where there are none"""
        call = "cndevGetMLULinkPortNumber"
        count = int(self._library.function(call)(self._handle))
        if not 0 < count <= MOST_PORTS:
            raise DriverError(Meaning.UNSUPPORTED, "NO_PORTS", call)
        return count

    def states(self) -> Sequence[Measured]:
        """Links up and down; a port without cable or module is neither."""
        up = down = 0
        for status in self._each("cndevGetMLULinkStatusV2", structs.LinkStatus):
            up += status.mac != 0
            down += status.mac == 0 and status.presence != 0
        return [
            Measured(vocabulary.LINKS, float(count), (*_MLULINK, ("hw.state", state)))
            for state, count in (("up", up), ("down", down))
        ]

    def errors(self) -> Sequence[Measured]:
        found = self._each("cndevGetMLULinkErrorCounter", structs.LinkErrors)
        return _mlulink_errors(
            fec_corrected=[one.fec_corrected for one in found],
            fec_uncorrected=[one.fec_uncorrected for one in found],
            crc=[count for one in found for count in (one.rx_bad_fcs, one.tx_bad_fcs)],
            illegal_access=[one.illegal_access for one in found],
        )

    def events(self) -> Sequence[Measured]:
        found = self._each("cndevGetMLULinkEventCounter", structs.LinkEvents)
        return _mlulink_errors(
            link_down=[one.link_down for one in found],
            replay=[one.replay for one in found],
            replay_failed=[one.replay_failed for one in found],
        )

    def old_errors(self) -> Sequence[Measured]:
        found = self._counters()
        return _mlulink_errors(
            correctable=[one.corrected for one in found],
            uncorrectable=[one.uncorrected for one in found],
            crc=[count for one in found for count in (one.crc24, one.crc32)],
            fatal=[one.fatal for one in found],
            replay=[one.replay for one in found],
        )

    def old_bytes(self) -> Sequence[Measured]:
        found = self._counters()
        return _io(_MLULINK, sum(one.write_bytes for one in found), sum(one.read_bytes for one in found))

    def pcie_now(self) -> Sequence[Measured]:
        return self._pcie("cndevGetCurrentPCIInfo", vocabulary.LINK_GENERATION, vocabulary.LINK_WIDTH)

    def pcie_limit(self) -> Sequence[Measured]:
        return self._pcie("cndevGetMaxPCIInfo", vocabulary.LINK_GENERATION_LIMIT, vocabulary.LINK_WIDTH_LIMIT)

    def pcie_replays(self) -> Sequence[Measured]:
        counter = structs.Counter(version=structs.VERSION)
        self._library.call("cndevGetPcieReplayCounter", ctypes.byref(counter), self._handle)
        return (Measured(vocabulary.LINK_ERRORS, float(counter.counter), (*_PCIE, ("error.type", "replay"))),)

    def pcie_bytes(self) -> Sequence[Measured]:
        """The driver's running totals: the device writes what it transmits."""
        call = "cndevGetPCIethroughputV2"
        told = structs.PcieBytes()
        self._library.call(call, ctypes.byref(told), self._handle)
        if told.read_total < 0 or told.write_total < 0:
            raise DriverError(Meaning.NO_SAMPLE, "NO_NUMBER", call)
        return _io(_PCIE, told.write_total, told.read_total)

    def _pcie(self, call: str, generation: Metric, width: Metric) -> Sequence[Measured]:
        link = structs.PcieLink(version=structs.VERSION)
        self._library.call(call, ctypes.byref(link), self._handle)
        told = ((generation, link.speed), (width, link.width))
        return [Measured(metric, float(number), _PCIE) for metric, number in told if number > 0]

    def _counters(self) -> Sequence[Any]:
        return self._each("cndevGetMLULinkCounter", structs.LinkCounter, version=structs.VERSION)

    def _each(self, call: str, layout: type[ctypes.Structure], **inputs: int) -> Sequence[Any]:
        """:raises DriverError: INVALID_LINK when no port is one"""
        found: list[Any] = []
        refused: DriverError | None = None
        for port in range(self.ports()):
            one = layout(**inputs)
            try:
                self._library.call(call, ctypes.byref(one), self._handle, port)
            except DriverError as failure:
                if failure.code != "INVALID_LINK":
                    raise
                refused = failure
                continue
            found.append(one)
        if refused and not found:
            raise refused
        return found


def _io(link: Labels, transmitted: int, received: int) -> Sequence[Measured]:
    told = (("transmit", transmitted), ("receive", received))
    return [Measured(vocabulary.IO, float(count), (*link, (vocabulary.DIRECTION, way))) for way, count in told]


def _mlulink_errors(**counts: Sequence[int]) -> Sequence[Measured]:
    sums = ((kind, sum(one for one in of_ports if one != _NOTHING)) for kind, of_ports in counts.items())
    return [Measured(vocabulary.LINK_ERRORS, float(count), (*_MLULINK, ("error.type", kind))) for kind, count in sums]
