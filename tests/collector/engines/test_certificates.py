"""TLS, checked and mutual, with real servers and certificates made on the spot."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme

from collector.engines import EngineTarget, build
from collector.engines.source import EnginesSource
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.testkit.engine_pages import pages, value, vllm_page
from watchkeeper.core.vocabulary import engines

NOW = 1_000_000.0
NewSource = Callable[..., EnginesSource]


def test_tls_is_checked_against_the_given_authority(ledger: Ledger, tmp_path: Path, engine: Any, answer: Any) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    engine._server.socket = context.wrap_socket(engine._server.socket, server_side=True)
    engine.respond = answer(vllm_page())
    url = engine.url.replace("http://", "https://")

    def up(**settings: str) -> float | None:
        source = build((EngineTarget(url=url, timeout_seconds=30, **settings),), ledger)  # type: ignore[arg-type]
        try:
            reading = source.read(NOW)
            while not reading.samples:
                reading = source.read(NOW)
            return value(reading, engines.ENGINE_UP)
        finally:
            source.close()

    assert up(ca_file=str(tmp_path / "ca.pem")) == 1.0
    assert up() == 0.0
    assert pages(ledger, NOW)["bad_certificate"] == 1.0
