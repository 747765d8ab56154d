import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.accelerators.driver import Device
from collector.accelerators.placement import names

A = "GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6a"
B = "GPU-5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6b"
MIG = "MIG-41a0f5d2-6a4e-5a08-8c2f-0d1f7f8e9a10"
NVIDIA = Device(
    id=A, name="0", vendor="nvidia", pci_address="00000000:1A:00.0", serial="1324420066010", aliases=("nvidia3",)
)
PARTITION = Device(
    id=MIG,
    name="0:1",
    vendor="nvidia",
    parent=A,
    pci_address=NVIDIA.pci_address,
    serial=NVIDIA.serial,
    aliases=("nvidia3/gi1",),
)
ASCEND = Device(
    id="2B1C5A80-21400AC4-64A0D214-98818C0A-13C3001D", name="3", vendor="ascend", pci_address="0000:c1:00.0"
)
CAMBRICON = Device(id="89033010-2354-0000-0000-000000000000", name="1", vendor="cambricon")
AMD = Device(
    id="4fff7551-0000-1000-80dd-9e7b8bb8d5ee", name="1", vendor="amd", pci_address="0000:03:00.0", aliases=("card1",)
)
GAUDI = Device(
    id="01P0-HL2080A0-15-TNPS34-20-07-07", name="2", vendor="gaudi", serial="AN02012345", pci_address="0000:0f:00.0"
)


@pytest.mark.parametrize(
    ("resource", "name", "device"),
    [
        ("nvidia.com/gpu", A, NVIDIA),
        ("nvidia.com/gpu", A.lower(), NVIDIA),
        ("nvidia.com/gpu.shared", f"{A}::7", NVIDIA),
        ("nvidia.com/gpu", f"{A}-3", NVIDIA),  # as HAMi numbers its shares
        ("aliyun.com/gpu-mem", f"{A}-_-12", NVIDIA),
        ("nvidia.com/gpu", "nvidia3", NVIDIA),
        ("nvidia.com/gpu", "nvidia3/vgpu2", NVIDIA),
        ("gpu.nvidia.com", "gpu-3", NVIDIA),
        ("gpu.nvidia.com", "dab5ab50-d59a-42a6-af16-cfd4628c0f7a-gpu-3", NVIDIA),
        ("k8s.gpu.nvidia.com/claim", "gpu-3", NVIDIA),
        ("nvidia.com/GA102GL_A10", "0000:1a:00.0", NVIDIA),
        ("nvidia.com/mig-1g.10gb", MIG, PARTITION),
        ("nvidia.com/mig-1g.10gb.shared", f"{MIG}::0", PARTITION),
        ("nvidia.com/gpu", "nvidia3/gi1", PARTITION),
        ("nvidia.com/gpu", "nvidia3/gi1/vgpu4", PARTITION),
        ("huawei.com/Ascend910", "Ascend910-3", ASCEND),
        ("huawei.com/Ascend310P", "Ascend310P-3", ASCEND),
        ("huawei.com/Ascend910-2c", "Ascend910-2c-100-3", ASCEND),
        ("cambricon.com/mlu", CAMBRICON.id, CAMBRICON),
        ("cambricon.com/mlu370.share", f"{CAMBRICON.id}-_-2", CAMBRICON),
        ("cambricon.com/mlu370.share", f"{CAMBRICON.id}--fake--2", CAMBRICON),
        ("amd.com/gpu", "0000:03:00.0", AMD),
        ("amd.com/gpu", "card1", AMD),
        ("habana.ai/gaudi", "AN02012345", GAUDI),
        ("habana.ai/gaudi", "2", GAUDI),
        ("gaudi.intel.com", "0000-0f-00-0-0x1020", GAUDI),
    ],
)
def test_a_plugins_name_means_the_device(resource, name, device):
    assert names.means(name, resource, device)


@pytest.mark.parametrize(
    ("resource", "name", "device"),
    [
        ("nvidia.com/gpu", B, NVIDIA),
        ("nvidia.com/gpu", f"{A}0", NVIDIA),
        ("nvidia.com/gpu", "5b3a7c1e-0f42-4d0c-9a77-3f1e2d4c5b6b-3", NVIDIA),  # the share 3 of another
        ("nvidia.com/gpu", "nvidia0", NVIDIA),  # 3 is its device file's number, 0 its index
        ("gpu.nvidia.com", "gpu-0", NVIDIA),
        ("gpu.nvidia.com", "gpu-3-mig-1g5gb-19-0", NVIDIA),
        ("nvidia.com/gpu", "nvidia3/gi1", NVIDIA),
        ("nvidia.com/gpu", "nvidia3", PARTITION),
        ("nvidia.com/gpu", "nvidia3/gi11", PARTITION),
        ("nvidia.com/gpu", A, PARTITION),
        ("nvidia.com/gpu", "0000:1a:00.0", PARTITION),  # the address of all of them
        ("nvidia.com/gpu", "1324420066010", PARTITION),
        ("rdma/hca_shared", "3", NVIDIA),
        ("nvidia.com/hostdev", "3", NVIDIA),
        ("nvidia.com/GA102GL_A10", "3", NVIDIA),  # an IOMMU group
        ("intel.com/sriov", "0000:1a:00.1", NVIDIA),
        ("nvidia.com/gpu", "0001:1a:00.0", NVIDIA),
        ("nvidia.com/gpu", "0000:1a:00.01", NVIDIA),
        ("nvidia.com/gpu", "", NVIDIA),
        ("huawei.com/Ascend910", "Ascend910-13", ASCEND),
        ("huawei.com/Ascend910-2c", "Ascend910-2c-3-100", ASCEND),
        ("amd.com/gpu", "Ascend910-3", ASCEND),
        ("amd.com/gpu", "card2", AMD),
        ("example.com/smarter-devices", "1", AMD),
    ],
)
def test_a_name_of_something_else_does_not(resource, name, device):
    assert not names.means(name, resource, device)


def test_without_its_device_file_the_index_of_a_device_is_taken():
    assert names.means("gpu-0", "gpu.nvidia.com", Device(id=A, name="0", vendor="nvidia"))


def test_a_device_without_names_is_nobodys():
    nameless = Device(id="", name="", vendor="nvidia")

    assert not any(names.means(name, "nvidia.com/gpu", nameless) for name in ("", "0", A, "::1"))


def test_resources_of_accelerators_are_told_from_others():
    ours = ("nvidia.com/gpu", "nvidia.com/mig-3g.40gb", "huawei.com/Ascend910", "cambricon.com/mlu", "amd.com/gpu",
            "habana.ai/gaudi", "gpu.nvidia.com", "gaudi.intel.com")  # fmt: skip

    assert all(names.is_accelerator(name) for name in ours)
    assert not any(names.is_accelerator(name) for name in ("nvidia.com/hostdev", "rdma/hca", "", "notamd.com/gpu"))


uuids = st.uuids().map(str)
tails = st.sampled_from(("", "::0", "::15", "-_-3", "--fake--1", "/vgpu2", "-7"))
prefixes = st.sampled_from(("GPU-", "MIG-", ""))


@settings(deadline=None, max_examples=100)
@given(prefixes, st.lists(uuids, min_size=2, max_size=8, unique=True), st.data())
def test_of_many_devices_a_uuid_means_one_however_it_is_shared_and_whoever_gives_it(prefix, several, data):
    devices = [Device(id=prefix + one, name=str(index), vendor="nvidia") for index, one in enumerate(several)]
    chosen = data.draw(st.sampled_from(devices))
    name = chosen.id + data.draw(tails)
    resource = data.draw(st.sampled_from(("nvidia.com/gpu", "aliyun.com/gpu-mem", "rdma/hca", "")))

    assert [device for device in devices if names.means(name, resource, device)] == [chosen]


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 15), st.integers(0, 15), st.sampled_from(("nvidia{}", "gpu-{}", "{}", "nvidia{}/vgpu1", "{}::2")))
def test_a_numbered_name_means_the_device_of_that_number_alone(number, other, pattern):
    device = Device(id=A, name=str(number), vendor="nvidia")

    assert names.means(pattern.format(other), "nvidia.com/gpu", device) == (number == other)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60), st.text(max_size=40))
def test_any_text_is_a_name(name, resource):
    assert not names.means(name, resource, Device(id=str(uuid.UUID(int=1 << 127)), name="77", vendor="amd"))
