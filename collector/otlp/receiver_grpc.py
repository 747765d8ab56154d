"""OTLP/gRPC: the three Export methods as bytes in and bytes out, so that nothing is parsed before it is bounded."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from grpc import aio

from collector.otlp import answers
from collector.otlp.answers import Declined, Refusal
from collector.otlp.config import OtlpConfig
from collector.otlp.intake import Encoding, Intake, Refused, Signal, Taken
from collector.otlp.refusal_log import RefusalLog
from watchkeeper.core.tokens import Admission

METHODS: Final = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": Signal.TRACES,
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": Signal.METRICS,
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": Signal.LOGS,
}

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
_WAIT_FOR_TURN_SECONDS: Final = 2.0
"""how long a call may wait for its turn to be received; Python senders allow 10 s in all"""
_MIN_PING_INTERVAL_MILLISECONDS: Final = 10_000
"""Go senders with keep-alive ping this often; gRPC's default is to hang up on them"""
_MAX_METADATA_BYTES: Final = 16384
_MAX_STREAMS_PER_CONNECTION: Final = 128


class GrpcReceiver(grpc.GenericRpcHandler):
    """Answers one port on the running loop."""

    def __init__(
        self,
        config: OtlpConfig,
        intake: Intake,
        refusals: RefusalLog,
        clock: Callable[[], float] = time.time,
        admission: Admission | None = None,
    ) -> None:
        """
        :param clock: unix seconds
        :param admission: None: nobody is asked for a token
        """
        self._config = config
        self._intake = intake
        self._refusals = refusals
        self._admission = admission
        self._clock = clock
        self._turns = asyncio.Semaphore(config.max_concurrent_rpcs)
        # A request of many messages to grpc, so that it is ours to say when the one message is received.
        self._handlers: dict[str, Any] = {
            path: grpc.stream_unary_rpc_method_handler(self._export(signal)) for path, signal in METHODS.items()
        }
        self._server = aio.server(options=_options(config))

    async def start(self, address: str, credentials: grpc.ServerCredentials | None) -> int:
        """
        The port now listened on.

        :raises RuntimeError: it cannot be bound
        """
        self._server.add_generic_rpc_handlers((self,))
        if credentials is None:
            port = self._server.add_insecure_port(address)
        else:
            port = self._server.add_secure_port(address, credentials)
        await self._server.start()
        return port

    async def stop(self) -> None:
        """Close the socket, and every connection once its calls are answered."""
        await self._server.stop(grace=0.5)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """None, which gRPC answers with UNIMPLEMENTED, for a method that is not OTLP's."""
        handler = self._handlers.get(handler_call_details.method)
        if handler is None:
            self._refusals.add(None, answers.BAD_PATH)
        return handler

    def _export(self, signal: Signal) -> Callable[[Any, Any], Any]:
        async def export(_messages: object, context: aio.ServicerContext[bytes, bytes]) -> bytes:
            taken = await self._taken(signal, context)
            if isinstance(taken, Refusal):
                return await self._abort(context, taken)
            return answers.accepted(signal, Encoding.PROTOBUF, taken)

        return export

    async def _taken(self, signal: Signal, context: aio.ServicerContext[bytes, bytes]) -> Taken | Refusal:
        """Apart from the answer: gRPC keeps the error that ends a call, and with it all that its frames hold."""
        try:
            if self._admission is not None and not self._admission.name_of(_headers(context).get("authorization", "")):
                raise Declined(answers.UNAUTHENTICATED)
            body = await self._received(signal, context)
            return self._intake.take(signal, Encoding.PROTOBUF, body, _headers(context), self._clock())
        except Declined as declined:
            refusal = declined.refusal
        except Refused as error:
            refusal = answers.refusal_of(error)
        except Exception as error:  # noqa: BLE001 - gRPC would send the words of the error to the sender
            self._refusals.add_fault(signal, error)
            return answers.INTERNAL
        self._refusals.add(signal, refusal)
        return refusal

    async def _received(self, signal: Signal, context: aio.ServicerContext[bytes, bytes]) -> bytes:
        """
        The one message, already decompressed by gRPC, which applies max_body_bytes before and after.

        :raises Declined: there is no turn for it, it took too long, or there was none
        """
        async with self._turn():
            try:
                async with asyncio.timeout(self._config.request_timeout_seconds):
                    message = await context.read()
            except TimeoutError:
                raise Declined(answers.TIMEOUT) from None
        if isinstance(message, bytes):
            return message
        try:
            await asyncio.sleep(0.01)  # gRPC cancels us here when the message was too large or the sender gave up
        except asyncio.CancelledError:
            self._refusals.add(signal, answers.INCOMPLETE)
            raise
        raise Declined(answers.INCOMPLETE)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """:raises Declined: too many messages are being received already"""
        try:
            async with asyncio.timeout(_WAIT_FOR_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Declined(answers.OVERLOADED) from None
        try:
            yield
        finally:
            self._turns.release()

    async def _abort(self, context: aio.ServicerContext[bytes, bytes], refusal: Refusal) -> bytes:
        trailers = answers.trailers(refusal, self._refusals.delay_seconds())
        await context.abort(_CODES[refusal.rpc_code], refusal.message[: answers.MAX_MESSAGE_CHARACTERS], trailers)


def _headers(context: aio.ServicerContext[bytes, bytes]) -> dict[str, str]:
    """gRPC metadata with text values; the keys are in lower case already."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


def _options(config: OtlpConfig) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.so_reuseport", 0),  # a second watchkeeper on the same port must fail, not take half of the calls
        ("grpc.max_receive_message_length", config.max_body_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_concurrent_streams", _MAX_STREAMS_PER_CONNECTION),
        ("grpc.max_connection_idle_ms", round(config.idle_timeout_seconds * 1000)),
        ("grpc.server_handshake_timeout_ms", round(config.head_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MIN_PING_INTERVAL_MILLISECONDS),
    )
