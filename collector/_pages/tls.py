"""Certificates for engines that want TLS, or ours in return; read again when their files change."""

import logging
import os
import ssl
from pathlib import Path
from typing import Protocol

from collector._pages.address import CertificateFiles
from watchkeeper.core.errors import ConfigError

_log = logging.getLogger("watchkeeper.files")

_Stamp = tuple[tuple[int, int, int] | None, ...]


class TlsFiles(CertificateFiles, Protocol):
    """The files of a target's configuration, and the address it is for."""

    @property
    def origin(self) -> str: ...


class CertificateError(ConfigError):
    """A file of the configuration's that cannot be used. `key` is its setting, `why` says what to do."""

    def __init__(self, key: str, path: str, why: str) -> None:
        super().__init__(f"{key}: {path}: {why}")


class Certificates:
    """
    The TLS context of one target. A new certificate that cannot be used leaves the last good one in place.

    :raises CertificateError: at the start there is no last good one
    """

    def __init__(self, config: TlsFiles) -> None:
        self._config = config
        self._files = [path for path in (config.ca_file, config.client_cert_file, config.client_key_file,
                                         config.client_key_password_file) if path]  # fmt: skip
        self._stamp = self._stamps()
        self._context = _open(config)

    def context(self) -> ssl.SSLContext | None:
        """None means the system's authorities and no certificate of ours."""
        stamp = self._stamps()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._context = _open(self._config)
            except CertificateError as problem:
                _log.warning("%s: %s; the last good one stays in use", self._config.origin, problem)
        return self._context

    def _stamps(self) -> _Stamp:
        return tuple(map(_stamp, self._files))


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def _open(config: TlsFiles) -> ssl.SSLContext | None:
    if not config.ca_file and not config.client_cert_file:
        return None
    try:
        context = ssl.create_default_context(cafile=config.ca_file or None)
    except OSError as error:
        why = "it holds no PEM certificate" if isinstance(error, ssl.SSLError) else error.strerror
        raise CertificateError("ca_file", config.ca_file, f"{why}; give a readable PEM file") from None
    if config.client_cert_file:
        _add_ours(context, config)
    return context


def _add_ours(context: ssl.SSLContext, config: TlsFiles) -> None:
    password = _read("client_key_password_file", config.client_key_password_file).strip("\r\n")
    key_name = "client_key_file" if config.client_key_file else "client_cert_file"
    key_file = config.client_key_file or config.client_cert_file
    certificate = _read("client_cert_file", config.client_cert_file)
    key = _read(key_name, key_file)
    if "-----BEGIN CERTIFICATE-----" not in certificate:
        raise CertificateError("client_cert_file", config.client_cert_file, "it holds no PEM certificate")
    if "PRIVATE KEY-----" not in key:
        raise CertificateError(key_name, key_file, "it holds no PEM private key; set `client_key_file`")
    if "ENCRYPTED" in key and not password:
        raise CertificateError(key_name, key_file, "the key is encrypted; set `client_key_password_file`")
    try:
        # with a function OpenSSL never asks on the terminal
        context.load_cert_chain(config.client_cert_file, config.client_key_file or None, password=lambda: password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise CertificateError(key_name, key_file, "the key does not belong to `client_cert_file`") from None
        if "ENCRYPTED" in key:
            raise CertificateError(
                "client_key_password_file", config.client_key_password_file, "wrong password"
            ) from None
        raise CertificateError(
            "client_cert_file", config.client_cert_file, "it and its key cannot be read as PEM"
        ) from None


def _read(key: str, path: str) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CertificateError(key, path, f"{error.strerror}; give a readable PEM file") from None
    except UnicodeDecodeError:
        raise CertificateError(key, path, "it is no PEM file") from None
