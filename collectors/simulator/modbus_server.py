"""The simulated plant's Modbus TCP server: the press. Run by `python -m collectors.simulator`."""

import asyncio
import logging
import struct
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from collectors.simulator.codes import PRESS
from collectors.simulator.model import Reading, Simulation
from collectors.simulator.serve import modbus_machines, parser, run

_LAYOUT = struct.Struct(">HIH32sfQ")
_REGISTERS = _LAYOUT.size // 2


def registers(reading: Reading, now_us: int) -> list[int]:
    """The register image of the press (codes.MODBUS_ADDRESSES): big endian, registers 0 to 25."""
    image = _LAYOUT.pack(
        reading.state,
        reading.good,
        reading.reject,
        reading.order.encode("ascii"),
        reading.process,
        now_us // 1_000,
    )
    return list(struct.unpack(f">{_REGISTERS}H", image))


class ModbusPlant:
    """Read-only holding registers 0 to 25, for any unit id. A request sees one reading, not parts of two."""

    def __init__(self) -> None:
        self._image = [0] * _REGISTERS
        self._server: Any = None

    async def start(self, port: int) -> int:
        block = SimData(0, values=[0] * _REGISTERS, datatype=DataType.REGISTERS, readonly=True)
        device = SimDevice(0, simdata=[block], action=self._answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", port))
        await self._server.serve_forever(background=True)
        return int(self._server.transport.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        await self._server.shutdown()

    async def publish(self, sim: Simulation) -> None:
        self._image = registers(sim.reading(PRESS), sim.now_us)

    async def _answer(
        self,
        function_code: int,
        start_address: int,
        address: int,
        count: int,
        current: list[int],
        values: list[int] | list[bool] | None,
    ) -> None:
        current[:_REGISTERS] = self._image


def main() -> None:
    """Serve over Modbus TCP what the command line asks for."""
    logging.getLogger("pymodbus").setLevel(logging.ERROR)
    args = parser().parse_args()
    asyncio.run(run(args, "modbus", modbus_machines(args.machines), args.modbus_port, ModbusPlant()))


if __name__ == "__main__":
    main()
