"""The library's transport with what it lacks: bounds on what a server may send, and the reason why it refuses."""

import asyncio
import logging
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UASocketProtocol
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, uatcp_to_binary

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it logs what it also raises, with tracebacks

FAULT = ua.FourByteNodeId(ua.ObjectIds.ServiceFault_Encoding_DefaultBinary)


CHUNK = 65536
"""Bytes of a chunk, the largest taken and sent; the smallest a server may ask for is 8192 (OPC 10000-6, 7.1.2.3)."""
SMALLEST_CHUNK = 8192
MESSAGE = 32 << 20
"""Bytes of a message: of the 10,000 values that are asked for at most in one, 3 kB each."""
SMALL_MESSAGE = 1 << 20
"""Bytes of an answer to somebody of whom nothing is known yet."""


class Transport(UASocketProtocol):  # type: ignore[misc]
    """One connection. What a server sends stays within what it was told to in the greeting; a server that sends more
    is cut off before it is in memory."""

    def __init__(self, timeout: float, security_policy: Any, message: int = MESSAGE) -> None:
        super().__init__(timeout, security_policy)
        self._message = message
        self._bound()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        waiting = self.receive_buffer
        if waiting is not None and len(waiting) >= 8 and int.from_bytes(waiting[4:8], "little") > CHUNK:
            self._refuse("the server sends more than it was told it may")

    async def send_hello(self, url: str, max_messagesize: int = 0, max_chunkcount: int = 0) -> Any:
        hello = ua.Hello(0, CHUNK, CHUNK, self._message, self._message // SMALLEST_CHUNK, url)
        if self.transport is None:
            raise ConnectionError("the connection is closed")
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._callbackmap[0] = answer
        self.transport.write(uatcp_to_binary(ua.MessageType.Hello, hello))
        return await asyncio.wait_for(answer, self.timeout)

    def _process_received_message(self, msg: Any) -> None:
        if isinstance(msg, ua.Acknowledge):
            # The library takes the bounds of what the server receives for those of what it sends.
            self._bound(msg.ReceiveBufferSize)
        opening = isinstance(self._open_secure_channel_exchange, ua.OpenSecureChannelParameters)
        if opening and isinstance(msg, ua.Message):
            answer = msg.body().copy()
            if nodeid_from_binary(answer) == FAULT:
                # The library would read it as what it asked for, fail at that, and never say why.
                struct_from_binary(ua.ResponseHeader, answer).ServiceResult.check()
        super()._process_received_message(msg)

    def _bound(self, theirs: int = CHUNK) -> None:
        limits = self._connection._limits
        limits.max_recv_buffer = CHUNK
        limits.max_send_buffer = min(max(theirs or CHUNK, SMALLEST_CHUNK), CHUNK)
        limits.max_message_size = self._message
        limits.max_chunk_count = self._message // SMALLEST_CHUNK

    def _refuse(self, why: str) -> None:
        self._fail_all_pending(ConnectionError(why))
        if self.transport is not None:
            self.transport.abort()


_unpack_array = ua_binary.unpack_uatype_array


def _unpack_bounded_array(kind: Any, data: Any) -> Any:
    """Elements that take no bytes can be as many as the server likes: six bytes would keep us busy for minutes."""
    if kind == ua.VariantType.Null:
        ua_binary.Primitives.Int32.unpack(data)
        return []
    return _unpack_array(kind, data)


ua_binary.unpack_uatype_array = _unpack_bounded_array


def use_transport(client: Client, message: int = MESSAGE) -> None:
    """Have the client connect with it. `message`: bytes of the longest answer taken."""
    uaclient = client.uaclient

    def made() -> Transport:
        protocol = Transport(uaclient._timeout, uaclient.security_policy, message)
        protocol.pre_request_hook = uaclient._pre_request_hook
        protocol.on_connection_lost = uaclient._on_transport_lost
        protocol.is_session_closing = uaclient._is_session_closing
        uaclient.protocol = protocol
        return protocol

    uaclient._make_protocol = made
