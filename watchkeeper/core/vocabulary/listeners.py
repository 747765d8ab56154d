"""watchkeeper's own ports: their certificates, and who is turned away. `listener`: its configuration section."""

from typing import Final

from watchkeeper.core.metric import Kind, Metric

LISTENER: Final = "listener"

CERTIFICATE_EXPIRY: Final = Metric(
    "watchkeeper.tls.certificate_expiry.timestamp", Kind.GAUGE, "s",
    "Unix time at which the first certificate of the chain that a listener shows is no longer valid.", (LISTENER,),
)  # fmt: skip
HANDSHAKE_FAILURES: Final = Metric(
    "watchkeeper.tls.handshake.failures", Kind.COUNTER, "{connection}",
    "Connections that ended before TLS was agreed on, by reason: no_certificate, bad_certificate (the client's), "
    "certificate_refused (ours, by the client), version, not_tls, timeout, gone, crowded_out, other.",
    (LISTENER, "reason"),
)  # fmt: skip
STALE_FILES: Final = Metric(
    "watchkeeper.files.stale", Kind.GAUGE, "",
    "1 while a listener's certificate or token file holds nothing usable and what was read before stays in use, else "
    "0, by kind: tls, tokens.", (LISTENER, "kind"),
)  # fmt: skip
UNAUTHENTICATED: Final = Metric(
    "watchkeeper.auth.failures", Kind.COUNTER, "{request}",
    "Requests turned away because of who asks, by reason: no_token, wrong_token, no_certificate.",
    (LISTENER, "reason"),
)  # fmt: skip

METRICS: Final = (CERTIFICATE_EXPIRY, HANDSHAKE_FAILURES, STALE_FILES, UNAUTHENTICATED)
