import pytest

from watchkeeper.core.hosts import is_host


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "a_b.obs.svc.", "bücher.example", "a" * 63])
def test_addresses_and_names_are_hosts(host: str) -> None:
    assert is_host(host)


@pytest.mark.parametrize("host", ["", ".", "a..b", ".a", "a" * 64, "é" * 63, "a b", "a\n", ".".join(["a" * 50] * 6)])
def test_what_no_resolver_takes_is_none(host: str) -> None:
    assert not is_host(host)
