"""To a receiver under TLS that asks for our certificate."""

import ssl

import pytest
import trustme

from exporters.otlp import PLUGIN, OtlpConfig
from watchkeeper.core.errors import ConfigError
from watchkeeper.core.ledger import Ledger
from watchkeeper.core.records import Batch, Point
from watchkeeper.core.vocabulary import health


@pytest.fixture
def files(tmp_path):
    """Paths of PEM files by name."""
    authority = trustme.CA()
    client = authority.issue_cert("watchkeeper")
    authority.cert_pem.write_to_path(tmp_path / "ca")
    client.cert_chain_pems[0].write_to_path(tmp_path / "certificate")
    client.private_key_pem.write_to_path(tmp_path / "key")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server")
    return {name: str(tmp_path / name) for name in ("ca", "certificate", "key", "server")}


def test_it_shows_its_certificate_and_asks_for_theirs(collector, exporter_to, files):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files["server"])
    context.load_verify_locations(files["ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    ours = {"ca_file": files["ca"], "client_cert_file": files["certificate"], "client_key_file": files["key"]}
    with collector() as receiver:
        receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
        with exporter_to(receiver.url.replace("http:", "https:"), interval_seconds=0.1, **ours) as exporter:
            exporter.write(Batch(1.0, (Point(health.MEMORY, (), 1.0),)))

            assert receiver.wait_for("/v1/metrics")


def test_files_that_are_not_there_or_half_a_pair_are_named(files):
    with pytest.raises(ValueError, match="must be set together"):
        OtlpConfig(client_cert_file=files["certificate"])
    with pytest.raises(ConfigError, match=r"^exporters\.otlp\.ca_file: '/none' cannot be read"):
        PLUGIN.build(OtlpConfig(True, "https://h", ca_file="/none"), Ledger())
