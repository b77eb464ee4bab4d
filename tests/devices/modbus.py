"""A Modbus TCP device (pymodbus')."""

from datetime import UTC, datetime, timedelta
from typing import Any

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice


class ModbusDevice:
    state, order, wrong = "holding:0:uint16", "holding:1:string<4>", "holding:900:uint16"

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._image = [0] * 8
        self._server: Any = None

    def options(self) -> dict[str, object]:
        return {"host": "127.0.0.1", "port": self._port, "poll": "50ms", "clock": "holding:4:uint64"}

    async def start(self) -> None:
        block = SimData(0, values=[0] * 8, datatype=DataType.REGISTERS, readonly=True)
        device = SimDevice(0, simdata=[block], action=self._answer)
        self._server = ModbusTcpServer(device, address=("127.0.0.1", self._port))
        await self._server.serve_forever(background=True)
        self._port = self._server.transport.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        await self._server.shutdown()

    async def put(self, state: int, order: str, time: datetime) -> None:
        milliseconds = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        text = order.encode().ljust(4, b"\0")
        words = [int.from_bytes(text[i : i + 2]) for i in (0, 2)]
        clock = [milliseconds >> shift & 0xFFFF for shift in (48, 32, 16, 0)]
        self._image = [state, *words, 0, *clock]

    async def _answer(self, _f: int, _s: int, _a: int, _c: int, current: list[int], _v: object) -> None:
        current[:8] = self._image
