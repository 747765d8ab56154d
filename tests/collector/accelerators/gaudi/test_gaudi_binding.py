"""Habana's own binding: what its tables say of codes and events, ours must say too."""

import importlib.util
from pathlib import Path

import pytest

from collector.accelerators.gaudi.codes import CODES
from collector.accelerators.gaudi.device import MEMORY, UTILIZATION
from watchkeeper.core.vocabulary.faults import GAUDI_EVENTS


@pytest.fixture(scope="module")
def types():
    """Without the package around it, which warns of itself."""
    place = Path(importlib.util.find_spec("pyhlml").submodule_search_locations[0]) / "pyhlml_types_generated.py"
    spec = importlib.util.spec_from_file_location("pyhlml_types_generated", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_return_code_of_the_binding_has_a_meaning(types):
    defined = {code.value: code.name.removeprefix("HLML_ERROR_") for code in types.HLML_RETURN if code}

    assert {number: name for number, (name, _) in CODES.items()} == defined


def test_every_event_of_the_binding_is_a_fault_but_the_change_of_clock(types):
    bits = {value for name, value in vars(types.HLML_DEFINES).items() if name.startswith("HLML_EVENT_")}

    assert bits - GAUDI_EVENTS.keys() == {types.HLML_DEFINES.HLML_EVENT_CLOCK_RATE}
    assert not GAUDI_EVENTS.keys() - bits


def test_structures_stand_as_in_the_binding(types):
    assert types.c_hlml_utilization.memory.offset == UTILIZATION.size - 4
    assert (types.c_hlml_memory.total.offset, types.c_hlml_memory.used.offset) == (8, MEMORY.size - 8)
    assert types.c_hlml_pci_info.bus_id.offset == 4
