"""An OPC UA server (asyncua's)."""

from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from devices.base import NAMESPACE


class OpcUaDevice:
    state, order = f"nsu={NAMESPACE};s=m.state", f"nsu={NAMESPACE};s=m.order"
    wrong = f"nsu={NAMESPACE};s=m.nothing"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._now: tuple[int, str, datetime] = (0, "", datetime.now(UTC))
        self._server: Any = None

    def options(self) -> dict[str, object]:
        return {"url": f"opc.tcp://127.0.0.1:{self._port}/", "publishing_interval": "50ms"}

    async def start(self) -> None:
        self._server = Server()
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{self._port}/")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(NAMESPACE)
        objects = self._server.nodes.objects
        kinds = {"state": (0, ua.VariantType.Int32), "order": ("", ua.VariantType.String)}
        self._nodes = {
            name: await objects.add_variable(ua.NodeId(f"m.{name}", index), f"{index}:{name}", *of)
            for name, of in kinds.items()
        }
        await self.put(*self._now)
        await self._server.start()
        self._port = self._server.bserver.port

    async def stop(self) -> None:
        await self._server.stop()

    async def put(self, state: int, order: str, time: datetime) -> None:
        self._now = (state, order, time)
        kinds = {"state": ua.Variant(state, ua.VariantType.Int32), "order": ua.Variant(order)}
        for name, variant in kinds.items():
            data = ua.DataValue(variant, SourceTimestamp=time, ServerTimestamp=time)
            await self._server.write_attribute_value(self._nodes[name].nodeid, data)
