"""Settings of the OTLP receiver."""

from typing import Annotated, Final

import msgspec

from watchkeeper.core.tls import Tls

MIB: Final = 1 << 20

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=3600)]


class OtlpConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OTLP over gRPC and HTTP: traces, metrics and logs, protobuf and JSON."""

    enabled: bool = True
    """False: no port is opened."""
    host: str = "127.0.0.1"
    """Address to listen on; "0.0.0.0" or "::" takes in data from other machines."""
    grpc_port: Port = 4317
    """TCP port of OTLP/gRPC; 0 takes any free port."""
    http_port: Port = 4318
    """TCP port of OTLP/HTTP; 0 takes any free port."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1024 * MIB)] = 16 * MIB
    """Largest request, counted after decompression; 16 MiB suits a sidecar, 64 MiB (67108864) a gateway."""
    max_in_flight_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 * MIB
    """Bytes of HTTP bodies that may be half-received at once; past it senders are told to retry."""
    max_connections: Count = 1000
    """Open HTTP connections; one more is told to retry."""
    max_concurrent_rpcs: Count = 32
    """gRPC messages being received at once, each up to max_body_bytes; others wait, then are told to retry."""
    head_timeout_seconds: Seconds = 10.0
    """An HTTP connection whose request head is not complete after this time is closed."""
    request_timeout_seconds: Seconds = 30.0
    """A request, head and body, that is not complete after this time is refused."""
    idle_timeout_seconds: Seconds = 60.0
    """A connection without a request for this time is closed."""
    retry_after_seconds: Annotated[float, msgspec.Meta(ge=1, le=5)] = 2.0
    """Mean delay advised to refused senders, jittered by half; Python senders give up beyond a few seconds."""
    shutdown_grace_seconds: Annotated[float, msgspec.Meta(ge=0, le=60)] = 1.0
    """On shutdown, time during which new requests are still answered with "retry elsewhere"."""
    queue_capacity_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 32 * MIB
    """Bytes of acknowledged records held until they are counted; when full, senders are told to retry."""
    max_items_per_request: Count = 50_000
    """Spans, log records or data points in one request; more is refused before it is parsed."""
    tenant_attribute: str = ""
    """Resource or span attribute that names the tenant; empty: none."""
    tenant_header: str = ""
    """HTTP header or gRPC metadata key that names the tenant; empty: none."""
    token_file: str = ""
    """File with one token, or a line `name: token` each: senders must send one, as `Authorization: Bearer` or as the
    password of HTTP Basic; empty: they need none."""
    tls: Tls = Tls()
    """TLS of both ports."""

    def __post_init__(self) -> None:
        """:raises ValueError: two settings contradict each other"""
        if self.max_in_flight_bytes < self.max_body_bytes:
            raise ValueError("max_in_flight_bytes must not be smaller than max_body_bytes")
        if self.http_port and self.http_port == self.grpc_port:
            raise ValueError("grpc_port and http_port must differ")
