"""When certificates end: as much of X.509 as that takes, since Python's ssl tells it of nobody's own certificate."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_TIMES: Final = {0x17: "%y%m%d%H%M%SZ", 0x18: "%Y%m%d%H%M%SZ"}
"""UTCTime and GeneralizedTime, as RFC 5280 has them written"""


def certificates(pem: bytes) -> Iterator[bytes]:
    """Those of a PEM file, as DER. :raises ValueError: it holds none, or what it holds is not base64"""
    parts = pem.decode("ascii", "replace").split(_BEGIN)[1:]
    if not parts:
        raise ValueError("no certificate")
    for part in parts:
        yield ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{part.partition(_END)[0]}{_END}")


def not_after(certificate: bytes) -> float:
    """
    Unix seconds of the last moment at which it is valid.

    :param certificate: DER
    :raises ValueError: it is none
    """
    [tbs, *_] = _inside(_only(certificate, _SEQUENCE))
    parts = [part for part in _inside(_of(tbs, _SEQUENCE)) if part[0] != _VERSION]
    if len(parts) < 4:
        raise ValueError("not a certificate")
    _serial, _algorithm, _issuer, validity, *_ = parts
    [_before, (tag, text)] = _inside(_of(validity, _SEQUENCE))
    if tag not in _TIMES:
        raise ValueError("not a time")
    return datetime.strptime(text.decode("ascii"), _TIMES[tag]).replace(tzinfo=UTC).timestamp()


_Part = tuple[int, bytes]
"""tag and contents"""


def _only(data: bytes, tag: int) -> bytes:
    return _of(next(_inside(data), (0, b"")), tag)


def _of(part: _Part, tag: int) -> bytes:
    if part[0] != tag:
        raise ValueError("not a certificate")
    return part[1]


def _inside(data: bytes) -> Iterator[_Part]:
    at = 0
    while at < len(data):
        head, at = data[at : at + 2], at + 2
        if len(head) < 2:
            raise ValueError("cut off")
        size = head[1]
        if size & 0x80:
            digits = size & 0x7F
            size, at = int.from_bytes(data[at : at + digits], "big"), at + digits
        if at + size > len(data):
            raise ValueError("cut off")
        yield head[0], data[at : at + size]
        at += size
