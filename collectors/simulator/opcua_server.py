"""The simulated plant's OPC UA server: stations and CNC machines. Run by `python -m collectors.simulator`."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta

from asyncua import Server, ua

from collectors.simulator.codes import OPCUA_NAMESPACE, PROCESS_VALUES, signals
from collectors.simulator.model import Simulation
from collectors.simulator.serve import opcua_machines, parser, run

_TYPES: Mapping[str, ua.VariantType] = {
    "state": ua.VariantType.Int32,
    "good": ua.VariantType.UInt16,
    "reject": ua.VariantType.UInt16,
    "order": ua.VariantType.String,
}


class OpcUaPlant:
    """One object per machine with a variable per signal, node id `s=<machine>.<signal>` in OPCUA_NAMESPACE.

    A value is written with the simulated time as its source timestamp when it changes, and every
    `heartbeat` of simulated time when it does not: a client sees that one with the data change trigger
    StatusValueTimestamp.
    """

    def __init__(self, machines: Sequence[str], heartbeat: timedelta) -> None:
        self._machines = tuple(machines)
        self._heartbeat = heartbeat // timedelta(microseconds=1)
        self._server = Server()
        self._nodes: dict[tuple[str, str], ua.NodeId] = {}
        self._written: dict[tuple[str, str], tuple[object, int]] = {}

    async def start(self, port: int) -> int:
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
        self._server.set_server_name("Lineside simulated plant")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        self._server.set_identity_tokens([ua.AnonymousIdentityToken])
        await self._server.start()
        return int(self._server.bserver.port)

    async def stop(self) -> None:
        await self._server.stop()

    async def publish(self, sim: Simulation) -> None:
        if not self._nodes:
            await self._build()
        now_us, now = sim.now_us, sim.now
        for machine in self._machines:
            for signal, value in sim.reading(machine).signals(machine).items():
                key = (machine, signal)
                written = self._written.get(key)
                if written and written[0] == value and now_us - written[1] < self._heartbeat:
                    continue
                self._written[key] = (value, now_us)
                variant = ua.Variant(value, _TYPES.get(signal, ua.VariantType.Double))
                data = ua.DataValue(variant, SourceTimestamp=now, ServerTimestamp=now)
                await self._server.write_attribute_value(self._nodes[key], data)

    async def _build(self) -> None:
        await self._server.init()
        index = await self._server.register_namespace(OPCUA_NAMESPACE)
        for machine in self._machines:
            parent = await self._server.nodes.objects.add_object(
                ua.NodeId(machine, index), f"{index}:{machine}"
            )
            for signal in signals(machine):
                node = ua.NodeId(f"{machine}.{signal}", index)
                kind = _TYPES.get(signal, ua.VariantType.Double)
                empty: str | float | int = "" if signal == "order" else 0
                if signal == PROCESS_VALUES[machine][0]:
                    empty = 0.0
                await parent.add_variable(node, f"{index}:{signal}", empty, varianttype=kind)
                self._nodes[machine, signal] = node


def main() -> None:
    """Serve over OPC UA what the command line asks for."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    args = parser().parse_args()
    machines = opcua_machines(args.machines)
    server = OpcUaPlant(machines, timedelta(seconds=args.heartbeat))
    asyncio.run(run(args, "opcua", machines, args.opcua_port, server))


if __name__ == "__main__":
    main()
