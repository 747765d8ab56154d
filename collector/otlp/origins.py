"""Who sent a batch: the resource and the scope around its items."""

from typing import Final, NamedTuple

from collector.otlp import anyvalue, refusals, values, wire
from collector.otlp.senders import Sender

_MAX_CACHED: Final = 1024
_MAX_CACHED_BYTES: Final = 4096
_MAX_ATTRIBUTES: Final = 4096

_FIELDS: Final = (
    ("service.name", "service", 0),
    ("service.version", "service_version", 0),
    ("service.instance.id", "instance", 0),
    ("k8s.namespace.name", "namespace", 0),
    ("service.namespace", "namespace", 1),
    ("k8s.pod.name", "pod", 0),
    ("instance", "address", 0),
    ("container_name", "container", 0),
)

_ENGINES: Final = (
    ("vllm", "vllm"),
    ("sglang", "sglang"),
    ("trt.llm", "tensorrt_llm"),
    ("trtllm", "tensorrt_llm"),
    ("tensorrt", "tensorrt_llm"),
    ("text-generation-inference", "tgi"),
    ("text_generation_router", "tgi"),
    ("dynamo", "dynamo"),
    ("ksana", "ksanallm"),
)
"""part of a scope's or service's name to the engine it belongs to"""

_CLIENTS: Final = {
    "openai": "openai", "openai_v2": "openai", "anthropic": "anthropic", "cohere": "cohere", "groq": "groq",
    "mistralai": "mistral_ai", "bedrock": "aws.bedrock", "vertexai": "gcp.vertex_ai", "google_genai": "gcp.gen_ai",
}  # fmt: skip
"""last part of an instrumentation's name to the provider whose client it watches"""
CLIENT_SCOPES: Final = ("opentelemetry.instrumentation.", "openlit.", "openinference.instrumentation.", "logfire.")


class Origin(NamedTuple):
    """Names are "" when not given."""

    service: str = ""
    service_version: str = ""
    instance: str = ""
    namespace: str = ""
    pod: str = ""
    address: str = ""
    """where it says it stands; only KsanaLLM does"""
    container: str = ""
    tenant: str = ""
    scope: str = ""
    engine: str = ""
    """the engine that these names give away"""
    client_of: str = ""
    """the provider whose client library the scope instruments"""
    version: str = ""
    """of the scope: of the instrumentation"""

    @property
    def sender(self) -> Sender:
        return self.service, self.instance


def engine_of(*names: str) -> str:
    lower = " ".join(names).lower()
    return next((engine for part, engine in _ENGINES if part in lower), "")


def client_of(scope: str) -> str:
    """
    >>> client_of("opentelemetry.instrumentation.openai.v1")
    'openai'
    """
    if not scope.startswith(CLIENT_SCOPES):
        return ""
    parts = [part for part in scope.split(".") if part not in ("v1", "v0")]
    return _CLIENTS.get(parts[-1], "")


def origin(attributes: dict[str, object], scope: str, tenant_attribute: str, tenant: str, version: str = "") -> Origin:
    """
    From resource attributes and a scope's name and version.

    :param tenant: from the request's header: used when no attribute says otherwise
    """
    found: dict[str, str] = {}
    for name, field, _rank in sorted(_FIELDS, key=lambda row: row[2]):
        value = values.text(attributes.get(name))
        if isinstance(value, str):
            found.setdefault(field, value)
    named = values.text(attributes.get(tenant_attribute)) if tenant_attribute else None
    return Origin(
        **found,
        tenant=named if isinstance(named, str) else tenant,
        scope=scope,
        engine=engine_of(scope, found.get("service", "")),
        client_of=client_of(scope),
        version=version,
    )


class Origins:
    """Reads serialised resources and scopes, and remembers the recent ones. Not thread-safe."""

    def __init__(self, tenant_attribute: str = "") -> None:
        self._tenant_attribute = tenant_attribute
        self._wanted = {name for name, _, _ in _FIELDS} | {tenant_attribute}
        self._known: dict[tuple[bytes, bytes, str], Origin] = {}

    def serialised(self, resource: bytes, scope: bytes, tenant: str) -> Origin:
        """:raises Malformed: the resource or the scope is broken"""
        key = (resource, scope, tenant)
        known = self._known.get(key)
        if known is None:
            name, version = _scope(scope)
            known = origin(self._attributes(resource), name, self._tenant_attribute, tenant, version)
            if len(resource) + len(scope) <= _MAX_CACHED_BYTES:
                if len(self._known) >= _MAX_CACHED:
                    self._known.clear()
                self._known[key] = known
        return known

    def plain(self, attributes: dict[str, object], scope: str, tenant: str, version: str = "") -> Origin:
        return origin(attributes, scope, self._tenant_attribute, tenant, version)

    def wants(self, name: str) -> bool:
        return name in self._wanted

    def _attributes(self, resource: bytes) -> dict[str, object]:
        """Those wanted; one that cannot be read is left out, so that its neighbours and the spans are not lost."""
        found: dict[str, object] = {}
        for count, (number, wire_type, start, end) in enumerate(wire.fields(resource, 0, len(resource))):
            if count >= _MAX_ATTRIBUTES:
                break
            if number == 1 and wire_type == wire.BYTES:
                try:
                    name, value = self._attribute(resource, start, end)
                except (UnicodeDecodeError, refusals.Rejected):
                    continue
                if name:
                    found[name] = value
        return found

    def _attribute(self, resource: bytes, start: int, end: int) -> tuple[str, object]:
        name, value = "", (0, 0)
        for number, wire_type, at, stop in wire.fields(resource, start, end):
            if number == 1 and wire_type == wire.BYTES:
                name = resource[at:stop].decode()
            elif number == 2 and wire_type == wire.BYTES:
                value = (at, stop)
        if name not in self._wanted:
            return "", None
        return name, anyvalue.read(resource, *value)


def _scope(scope: bytes) -> tuple[str, str]:
    """Name and version."""
    found = {1: "", 2: ""}
    for number, wire_type, start, end in wire.fields(scope, 0, len(scope)):
        if number in found and wire_type == wire.BYTES and not found[number]:
            found[number] = scope[start:end].decode(errors="replace")
    return found[1], found[2]
