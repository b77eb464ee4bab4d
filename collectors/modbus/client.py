"""The Modbus TCP collector: polls on a schedule that does not drift."""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from collectors.connection import ConnectionLostError, keep_connected, up, utc_now
from collectors.held import Held
from collectors.modbus.address import Block, BlockDecoder, blocks, parse
from collectors.ports import Emit, SourceStatus
from collectors.samples import no_value, signal_table, to_samples
from plant.frames import GOOD, TIME
from plant.model import Signal, Source

log = logging.getLogger(__name__)
logging.getLogger("pymodbus").setLevel(logging.CRITICAL)  # what it logs is raised too, and said by us

RETRY_ADDRESSES = 60.0
"""Seconds until addresses the device refused are read again."""
FIRST_CLOCK_MS = 100_000_000_000
"""A device clock before 1973 was never set."""

Value = float | int | str


class RefusedError(Exception):
    """The device answered that it will not: the message says what."""


class ModbusCollector:
    """Collects one device. Every poll gives a sample per signal; what was not polled is not known."""

    def __init__(
        self,
        source: Source,
        signals: tuple[Signal, ...],
        options: Mapping[str, Any],
        retry_addresses: float = RETRY_ADDRESSES,
    ) -> None:
        self.status = SourceStatus()
        self._signals, self._options, self._source = signals, options, source
        self._addresses = [parse(signal.address) for signal in signals]
        if options["clock"] is not None:
            self._addresses.append(parse(options["clock"]))
        self._table = signal_table(signals).with_row_index("index")
        self._held = Held(signals, timedelta(0))
        self._retry = retry_addresses

    async def run(self, emit: Emit) -> None:
        """Collect until cancelled."""
        await keep_connected(self.status, lambda: self._session(emit), self._held.lost, emit)

    async def _session(self, emit: Emit) -> None:
        host, port, timeout = self._options["host"], self._options["port"], self._options["timeout"]
        client = AsyncModbusTcpClient(host, port=port, timeout=timeout, retries=0, reconnect_delay=0)
        try:
            if not await client.connect():
                raise ConnectionLostError(f"no Modbus device at {host}:{port}")
            await self._poll(client, emit)
        except ModbusException as error:
            raise ConnectionLostError(f"{host}:{port} does not answer ({error})") from error
        finally:
            client.close()

    async def _poll(self, client: AsyncModbusTcpClient, emit: Emit) -> None:
        clock, every = asyncio.get_running_loop().time, self._options["poll"]
        start, done, device_time = clock(), 0, None
        plan, planned = self._plan(), start
        while True:
            if self.status.bad and clock() - planned >= self._retry:
                plan, planned = self._plan(), clock()
            values = await self._read(client, plan, emit)
            now = utc_now()
            time = self._time(values.pop(len(self._signals), None), now)
            up(self.status, f"polling {self._options['host']}:{self._options['port']}")
            if time != device_time:
                device_time = time
                batch = self._held.update(self._frame(values, time, now), now)
                if not batch.is_empty():
                    await emit(batch)
            due = max(done + 1, math.ceil((clock() - start) / every))
            self.status.overruns += due - done - 1
            done = due
            await asyncio.sleep(start + done * every - clock())

    def _plan(self) -> list[BlockDecoder]:
        found = blocks(self._addresses, self._options["max_gap"])
        return [self._decoder(block) for block in found]

    def _decoder(self, block: Block) -> BlockDecoder:
        return BlockDecoder(block, self._addresses, self._options["word_order"])

    async def _read(
        self, client: AsyncModbusTcpClient, plan: list[BlockDecoder], emit: Emit
    ) -> dict[int, Value]:
        """All values that can be had. A block the device refuses is read value by value from now on, and a
        value it refuses is left out of the plan."""
        values: dict[int, Value] = {}
        waiting = list(plan)
        while waiting:
            decoder = waiting.pop(0)
            try:
                got = await self._request(client, decoder)
            except RefusedError as error:
                plan.remove(decoder)
                if len(decoder.block.members) > 1:
                    single = [self._decoder(self._alone(index)) for index, _ in decoder.block.members]
                    plan.extend(single)
                    waiting.extend(single)
                else:
                    await self._refused(decoder.block.members[0][0], str(error), emit)
                continue
            values.update(got)
            for index, _ in got:
                if self.status.bad and index < len(self._signals):
                    self.status.bad.pop(_key(self._signals[index]), None)
        return values

    def _alone(self, index: int) -> Block:
        address = self._addresses[index]
        return Block(address.area, address.start, address.length, ((index, 0),))

    async def _request(self, client: AsyncModbusTcpClient, decoder: BlockDecoder) -> list[tuple[int, Value]]:
        block, unit = decoder.block, self._options["unit"]
        read = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }[block.area]
        response = await read(block.start, count=block.length, device_id=unit)
        if response.isError():
            code = getattr(response, "exception_code", "?")
            raise RefusedError(
                f"the device refuses {block.area} {block.start} to {block.start + block.length - 1} "
                f"with exception {code}"
            )
        try:
            if block.area in ("holding", "input"):
                return decoder.registers(response.registers)
            return decoder.bits(response.bits)
        except ValueError as error:
            raise RefusedError(f"the device {error} from {block.area} {block.start}") from error

    async def _refused(self, index: int, why: str, emit: Emit) -> None:
        if index == len(self._signals):
            raise ConnectionLostError(f'the device clock (option "clock") cannot be read: {why}')
        signal = self._signals[index]
        if self.status.bad.get(_key(signal)) != why:
            self.status.bad[_key(signal)] = why
            log.warning("%s: %s", _key(signal), why)
            await emit(no_value([signal], utc_now()))

    def _time(self, device_ms: Value | None, now: datetime) -> datetime:
        if self._options["clock"] is None:
            return now
        if isinstance(device_ms, int) and FIRST_CLOCK_MS <= device_ms < 100 * FIRST_CLOCK_MS:
            return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=device_ms)
        raise ConnectionLostError(
            f'the device clock (option "clock") says {device_ms}; set the device\'s time'
        )

    def _frame(self, values: Mapping[int, Value], time: datetime, now: datetime) -> pl.DataFrame:
        rows = [
            (index, None if isinstance(v, str) else float(v), v if isinstance(v, str) else None, str(v))
            for index, v in values.items()
        ]
        schema = {"index": pl.UInt32, "value": pl.Float64, "text": pl.String, "word": pl.String}
        got = pl.DataFrame(rows, schema=schema, orient="row").join(
            self._table, on="index", how="inner", maintain_order="left"
        )
        keep = pl.col("keep_text")
        return to_samples(
            got.with_columns(
                pl.lit(time).cast(TIME).alias("time"),
                pl.when(~keep).then("value").alias("value"),
                pl.when(keep).then("word").otherwise("text").alias("text"),
                pl.lit(GOOD, pl.UInt8).alias("quality"),
            ),
            now,
        )


def _key(signal: Signal) -> str:
    return f"{signal.equipment}.{signal.id}"
