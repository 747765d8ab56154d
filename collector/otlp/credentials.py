"""TLS of the gRPC port, as gRPC wants it; the certificate is asked for again at each handshake."""

import grpc

from watchkeeper.core.tls import Pair, ServerTls


def grpc_credentials(tls: ServerTls | None) -> grpc.ServerCredentials | None:
    """None: no TLS. gRPC speaks TLS 1.2 and newer only."""
    if tls is None:
        return None
    shown = tls.pair

    def changed() -> grpc.ServerCertificateConfiguration | None:
        """Called in threads of gRPC. None: as before."""
        nonlocal shown
        pair = tls.pair
        if pair is shown:
            return None
        shown = pair
        return _configuration(pair)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        changed,  # type: ignore[arg-type]  # None is documented, and not in the stubs
        require_client_authentication=bool(shown.client_ca),
    )


def _configuration(pair: Pair) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(pair.key, pair.certificate)], pair.client_ca or None)
