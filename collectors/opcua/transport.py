"""The library's transport with what it lacks: bounds on what a server may send, and the reason why it refuses."""

import logging
from typing import Any

from asyncua import Client, ua
from asyncua.client.ua_client import UASocketProtocol
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # it logs what it also raises, with tracebacks

FAULT = ua.FourByteNodeId(ua.ObjectIds.ServiceFault_Encoding_DefaultBinary)


class Transport(UASocketProtocol):  # type: ignore[misc]
    """One connection."""

    def _process_received_message(self, msg: Any) -> None:
        opening = isinstance(self._open_secure_channel_exchange, ua.OpenSecureChannelParameters)
        if opening and isinstance(msg, ua.Message):
            answer = msg.body().copy()
            if nodeid_from_binary(answer) == FAULT:
                # The library would read it as what it asked for, fail at that, and never say why.
                struct_from_binary(ua.ResponseHeader, answer).ServiceResult.check()
        super()._process_received_message(msg)


def use_transport(client: Client) -> None:
    """Have the client connect with it."""
    uaclient = client.uaclient

    def made() -> Transport:
        protocol = Transport(uaclient._timeout, security_policy=uaclient.security_policy)
        protocol.pre_request_hook = uaclient._pre_request_hook
        protocol.on_connection_lost = uaclient._on_transport_lost
        protocol.is_session_closing = uaclient._is_session_closing
        uaclient.protocol = protocol
        return protocol

    uaclient._make_protocol = made
