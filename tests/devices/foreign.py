"""OPC UA servers as found in the field: nobody has described them to us, and they follow other habits than ours."""

import asyncio
import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asyncua import Server, ua

from devices.opcua_servers import ROOT, ServerProcess

MAKER = "http://maker.example/sps"
TENTH = 0.1


class ForeignFloor(ServerProcess):
    """node-opcua with a filler after PackML, a mill after Machinery and Machine Tools, and a German press."""

    def command(self) -> list[str]:
        if not (ROOT / "node_modules" / "node-opcua").is_dir():
            raise RuntimeError("node-opcua is missing: run infra/scripts/npm.sh")
        asked = {"port": self.port, "folder": str(self.folder)}
        return ["node", "tests/servers/foreign_machines.cjs", json.dumps(asked)]


@contextmanager
def press_in_a_thread() -> Iterator["ForeignPress"]:
    """A `ForeignPress` served by a thread of its own, for tests that wait for other programs."""
    served, ready, ended = ForeignPress(), threading.Event(), threading.Event()

    async def serve() -> None:
        await served.start()
        ready.set()
        while not ended.is_set():
            await asyncio.sleep(0.05)
        await served.stop()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(30)
    try:
        yield served
    finally:
        ended.set()
        thread.join(10)


class ForeignPress:
    """A German press without any companion specification, in this process (asyncua's server).

    It makes a part every 0.2 s, every tenth of them bad, stands for 1.2 s of every 6 s, and its clock is right.
    """

    CYCLE = 0.2

    def __init__(self) -> None:
        self.url = ""
        self._server: Any = None
        self._task: asyncio.Task[None] | None = None
        self.good, self.bad = 12_000, 120

    async def start(self) -> None:
        server = self._server = Server()
        await server.init()
        server.set_endpoint("opc.tcp://127.0.0.1:0/")
        server.set_server_name("SPS Halle 2")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(MAKER)
        plc = await server.nodes.objects.add_folder(index, "SPS_1")
        press = await plc.add_object(index, "Presse 3")
        counts = await press.add_folder(index, "Zähler")
        kinds = ua.VariantType

        async def add(parent: Any, name: str, value: object, kind: ua.VariantType) -> Any:
            return await parent.add_variable(index, name, ua.Variant(value, kind))

        self._state = await add(press, "Betriebszustand", 3, kinds.Int16)
        self._good = await add(counts, "Gutteile", self.good, kinds.UInt32)
        self._bad = await add(counts, "Ausschuss", self.bad, kinds.UInt32)
        await add(counts, "Sollmenge", 50_000, kinds.UInt32)
        self._oil = await add(press, "Öltemperatur", 45.0, kinds.Double)
        self._pulse = await add(press, "Takt", False, kinds.Boolean)
        await add(press, "Auftragsnummer", "FA-4711", kinds.String)
        await add(press, "Störungstext", "", kinds.String)
        self._alive = await add(press, "Lebensbit", 0, kinds.UInt16)
        await add(press, "Verlauf", [1.0, 2.0], kinds.Double)
        await server.start()
        self.url = f"opc.tcp://127.0.0.1:{server.bserver.port}/"
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._server.stop()

    async def _work(self) -> None:
        chance = random.Random(7)
        kinds = ua.VariantType
        for tenth in range(10**9):
            await asyncio.sleep(TENTH)
            runs = tenth % 60 < 48
            if tenth % 60 in (0, 48):
                await self._state.write_value(ua.Variant(3 if runs else 7, kinds.Int16))
            if runs and tenth % 2 == 0:
                if tenth % 20 == 0:
                    self.bad += 1
                    await self._bad.write_value(ua.Variant(self.bad, kinds.UInt32))
                else:
                    self.good += 1
                    await self._good.write_value(ua.Variant(self.good, kinds.UInt32))
            await self._pulse.write_value(ua.Variant(runs and tenth % 2 == 0, kinds.Boolean))
            await self._alive.write_value(ua.Variant(tenth % 65_536, kinds.UInt16))
            await self._oil.write_value(ua.Variant(45 + chance.gauss(0, 0.5), kinds.Double))
