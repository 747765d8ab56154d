"""When a certificate ends, as the cryptography library reads it."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from watchkeeper.core import der

AUTHORITY = trustme.CA()


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 2199])
@pytest.mark.parametrize("key", list(trustme.KeyType), ids=lambda key: key.name)
def test_the_end_is_what_another_reader_of_certificates_says(year: int, key: Any) -> None:
    ends = datetime(year, 7, 1, 12, 30, 59, tzinfo=UTC)
    issued = AUTHORITY.issue_cert(
        "a.example", not_before=datetime(1990, 1, 1, tzinfo=UTC), not_after=ends, key_type=key
    )
    pem = b"a remark before\n" + issued.cert_chain_pems[0].bytes() + AUTHORITY.cert_pem.bytes()

    found = [der.not_after(one) for one in der.certificates(pem)]

    assert found[0] == ends.timestamp()
    assert found == [one.not_valid_after_utc.timestamp() for one in x509.load_pem_x509_certificates(pem)]


WHOLE = x509.load_pem_x509_certificate(AUTHORITY.cert_pem.bytes()).public_bytes(Encoding.DER)


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.binary(), st.integers(0, len(WHOLE) - 1).map(lambda size: WHOLE[:size])))
def test_what_is_no_certificate_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any will do
        der.not_after(data)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_a_value_error_or_makes_no_difference_to_us(at: int, byte: int) -> None:
    changed = WHOLE[:at] + bytes((byte,)) + WHOLE[at + 1 :]
    with suppress(ValueError):
        assert isinstance(der.not_after(changed), float)


@pytest.mark.parametrize("pem", [b"", b"no pem", b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----"])
def test_a_file_without_certificates_is_a_value_error(pem: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        [der.not_after(one) for one in der.certificates(pem)]
