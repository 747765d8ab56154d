"""TLS, checked and mutual, with real servers and certificates made on the spot."""

import asyncio
import logging
import os
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from collector._pages.fault import Fault, Refused
from collector._pages.fetch import fetch
from collector._pages.source import PagesSource
from collector.engines import build, problems
from collector.engines.config import EngineTarget
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Reading
from watchkeeper.core.testkit.engine_pages import pages, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., PagesSource]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine's own thread may stand still before it says what it has against us."""
    monkeypatch.setattr("collector._pages.fetch._ALERT_SECONDS", 30.0)


class Secured:
    """A fake engine behind TLS; with `asks` it wants a certificate of an authority of its own."""

    def __init__(self, engine: Any, folder: Path, *, asks: bool = False, name: str = "127.0.0.1") -> None:
        self.folder = folder
        self.servers, self.clients = trustme.CA(), trustme.CA()
        self.servers.cert_pem.write_to_path(str(folder / "ca.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.servers.issue_cert(name).configure_cert(context)
        if asks:
            self.clients.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
        engine._server.socket = context.wrap_socket(
            engine._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.url = f"https://127.0.0.1:{engine.port}/metrics"
        self.ca = str(folder / "ca.pem")

    def write(self, authority: trustme.CA, name: str = "ours", password: bytes = b"") -> dict[str, str]:
        """Settings for a certificate of ours by this authority, its files (over)written."""
        issued = authority.issue_cert("watchkeeper.example")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.write_bytes(
            encrypted(issued.private_key_pem.bytes(), password) if password else issued.private_key_pem.bytes()
        )
        return {"client_cert_file": str(certificate), "client_key_file": str(key)}

    def target(self, **settings: str) -> EngineTarget:
        return EngineTarget(url=self.url, timeout_seconds=30, **{"ca_file": self.ca, **settings})  # type: ignore[arg-type]


def encrypted(key: bytes, password: bytes) -> bytes:
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(password)
    )


def read(source: PagesSource, now: float = NOW) -> Reading:
    reading = source.read(now)
    while not reading.samples:
        reading = source.read(now)
    return reading


@pytest.fixture
def secured(engine: Any, answer: Any, tmp_path: Path) -> Callable[..., Secured]:
    engine.respond = answer(vllm_page())
    return lambda **options: Secured(engine, tmp_path, **options)


def test_tls_is_checked_against_the_given_authority(
    secured: Callable[..., Secured], new_source: NewSource, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    server = secured()

    assert value(read(new_source(server.target())), engines.ENGINE_UP) == 1.0
    assert not caplog.records
    reading = read(new_source(server.target(ca_file="")))

    assert value(reading, engines.ENGINE_FAULT, reason="bad_certificate") == 1.0
    assert "`ca_file`" in caplog.text
    assert pages(ledger, NOW)["bad_certificate"] == 1.0


def test_a_certificate_for_another_name_is_told_so(
    secured: Callable[..., Secured], new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    reading = read(new_source(secured(name="elsewhere.example").target()))

    assert value(reading, engines.ENGINE_FAULT, reason="bad_certificate") == 1.0
    assert "127.0.0.1" in caplog.text.partition("is not accepted")[2]


@pytest.mark.parametrize("kind", ["two files", "one file", "encrypted key"])
def test_an_engine_that_asks_for_a_certificate_gets_ours(
    kind: str, secured: Callable[..., Secured], new_source: NewSource, tmp_path: Path
) -> None:
    server = secured(asks=True)
    settings = server.write(server.clients, password=b"pass word" if kind == "encrypted key" else b"")
    if kind == "encrypted key":
        (tmp_path / "password").write_text("pass word\n")
        settings["client_key_password_file"] = str(tmp_path / "password")
    if kind == "one file":
        both = Path(settings["client_cert_file"])
        both.write_bytes(both.read_bytes() + Path(settings.pop("client_key_file")).read_bytes())

    assert value(read(new_source(server.target(**settings))), engines.ENGINE_UP) == 1.0


@pytest.mark.parametrize("ours", ["none", "of a stranger"])
def test_a_certificate_that_the_engine_does_not_take_is_told_as_ours(
    ours: str, secured: Callable[..., Secured], new_source: NewSource, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    server = secured(asks=True)
    settings = server.write(trustme.CA()) if ours == "of a stranger" else {}

    reading = read(new_source(server.target(**settings)))

    assert value(reading, engines.ENGINE_FAULT, reason="bad_certificate") == 1.0
    assert pages(ledger, NOW)["bad_certificate"] == 1.0
    assert "did not accept ours" in caplog.text
    assert "`client_cert_file`" in caplog.text


def test_what_the_engine_says_of_our_certificate_is_heard_also_when_the_request_is_cut_off_first(
    secured: Callable[..., Secured],
) -> None:
    server = secured(asks=True)
    context = ssl.create_default_context(cafile=server.ca)

    class Cut:
        def get(self, *_arguments: object, **_options: object) -> Any:
            raise aiohttp.ClientOSError(32, "Broken pipe")

    with pytest.raises(Refused) as refused:
        asyncio.run(fetch(Cut(), server.url, headers={}, tls=context, max_bytes=10_000))  # type: ignore[arg-type]

    assert refused.value.fault is Fault.BAD_CERTIFICATE


def test_a_renewed_certificate_is_used_without_a_restart(
    secured: Callable[..., Secured], new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    server = secured(asks=True)
    settings = server.write(trustme.CA())
    source = new_source(server.target(**settings))
    before = read(source)

    server.write(server.clients)
    after = read(source, NOW + 5)
    Path(settings["client_key_file"]).write_text("half a k")
    kept = read(source, NOW + 10)

    assert [value(reading, engines.ENGINE_UP) for reading in (before, after, kept)] == [0.0, 1.0, 1.0]
    assert "the last good one stays in use" in caplog.text


def test_an_authority_that_is_replaced_is_read_again(secured: Callable[..., Secured], new_source: NewSource) -> None:
    server = secured()
    right = Path(server.ca).read_bytes()
    trustme.CA().cert_pem.write_to_path(server.ca)
    source = new_source(server.target())

    before = read(source)
    new = Path(f"{server.ca}.new")
    new.write_bytes(right)
    os.replace(new, server.ca)

    assert value(before, engines.ENGINE_UP) == 0.0
    assert value(read(source, NOW + 5), engines.ENGINE_UP) == 1.0


def test_http_where_tls_is_spoken_and_the_other_way_round(
    secured: Callable[..., Secured],
    new_source: NewSource,
    new_engine: Any,
    answer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    plain = new_engine()
    plain.respond = answer(vllm_page())
    read(new_source(EngineTarget(url=f"https://127.0.0.1:{plain.port}/metrics")))

    assert "write http:// in `url`" in caplog.text
    read(new_source(EngineTarget(url=secured().url.replace("https:", "http:"))))

    assert "write https:// in `url`" in caplog.text


def bad_files(folder: Path) -> list[tuple[dict[str, str], str]]:
    """Settings that cannot work, and what is said."""
    authority = trustme.CA()
    one, other = authority.issue_cert("a.example"), authority.issue_cert("b.example")
    files = {
        "one.pem": one.cert_chain_pems[0].bytes(), "one.key": one.private_key_pem.bytes(),
        "other.key": other.private_key_pem.bytes(), "locked.key": encrypted(one.private_key_pem.bytes(), b"x"),
        "wrong": b"y", "text": b"no PEM here", "binary": b"\xff\xfe",
        "mangled.pem": b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    path = {name: str(folder / name) for name in (*files, "missing")}
    return [
        ({"ca_file": path["missing"]}, "ca_file"),
        ({"ca_file": path["text"]}, "it holds no PEM certificate"),
        ({"client_cert_file": path["missing"]}, "No such file"),
        ({"client_cert_file": path["text"]}, "it holds no PEM certificate"),
        ({"client_cert_file": path["binary"]}, "no PEM file"),
        ({"client_cert_file": path["one.pem"]}, "set `client_key_file`"),
        ({"client_cert_file": path["one.pem"], "client_key_file": path["other.key"]}, "does not belong"),
        ({"client_cert_file": path["one.pem"], "client_key_file": path["locked.key"]}, "client_key_password_file"),
        (
            {
                "client_cert_file": path["one.pem"], "client_key_file": path["locked.key"],
                "client_key_password_file": path["wrong"],
            },
            "wrong password",
        ),
        ({"client_cert_file": path["mangled.pem"], "client_key_file": path["one.key"]}, "cannot be read as PEM"),
    ]  # fmt: skip


def test_files_that_cannot_be_used_are_told_all_at_once_before_the_start(tmp_path: Path) -> None:
    cases = bad_files(tmp_path)
    targets = tuple(EngineTarget(url=f"https://host-{n}:1", **settings) for n, (settings, _) in enumerate(cases))  # type: ignore[arg-type]

    found = problems(targets)

    assert len(found) == len(cases)
    for number, ((_, words), problem) in enumerate(zip(cases, found, strict=True)):
        assert problem.startswith(f"engines[{number}].")
        assert words in problem
    with pytest.raises(ConfigError):
        build(targets, Ledger())


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("http://host:1", {"ca_file": "a.pem"}),
        ("http://host:1", {"client_cert_file": "a.pem"}),
        ("https://host:1", {"client_key_file": "a.key"}),
    ],
)
def test_settings_that_would_do_nothing_are_refused(url: str, settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"url must begin with https|needs client_cert_file"):
        EngineTarget(url=url, **settings)  # type: ignore[arg-type]


def test_no_key_and_no_password_is_ever_logged(
    secured: Callable[..., Secured], new_source: NewSource, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = secured(asks=True)
    settings = server.write(trustme.CA())
    key = Path(settings["client_key_file"]).read_text().splitlines()[1]

    read(new_source(server.target(**settings)))

    assert key not in caplog.text
