"""What a message costs from the broker to the disk, beside a bare paho subscriber that only counts.

`python tests/benchmarks/bench_mqtt.py` prints figures measured in one run. Messages wait at a Mosquitto broker for both
(QoS 1, kept sessions), so that the publisher's speed does not matter. It needs Mosquitto: infra/scripts/services.sh.
"""

import asyncio
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from devices.mosquitto import PASSWORD, USER, BrokerOptions, Mosquitto
from devices.mqtt import Publisher
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from collectors import discover
from collectors.emit import SourceEmit, SpoolEmit
from collectors.spool import Spool
from plant.model import Role, Signal, Source

MESSAGES = 50_000
TOPICS = 200
ROUNDS = 3


def bare(port: int) -> Client:
    """A subscriber that counts; its session is kept."""
    client = Client(CallbackAPIVersion.VERSION2, "bare", protocol=MQTTProtocolVersion.MQTTv5)
    client.username_pw_set(USER, PASSWORD)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval, properties.ReceiveMaximum = 3600, 20_000
    client.connect("127.0.0.1", port, 60, clean_start=False, properties=properties)
    return client


def subscribe_bare(port: int) -> None:
    client = bare(port)
    client.on_connect = lambda c, *_: c.subscribe("plant/#", 1)
    client.on_subscribe = lambda c, *_: c.disconnect()
    client.loop_forever()


def run_bare(port: int, wanted: int) -> tuple[float, float]:
    """Seconds of wall and of CPU."""
    client, seen = bare(port), 0

    def count(one: Client, _u: object, _message: object) -> None:
        nonlocal seen
        seen += 1
        if seen == wanted:
            one.disconnect()

    client.on_message = count
    wall, cpu = time.perf_counter(), time.process_time()
    client.loop_forever()
    return time.perf_counter() - wall, time.process_time() - cpu


async def collect(broker: Mosquitto, folder: Path, wanted: int) -> tuple[float, float, int]:
    """Seconds of wall and of CPU, and files written; with `wanted` 0 it only makes its session."""
    signals = tuple(
        Signal(id=f"v{n}", equipment="m", role=Role.PROCESS_VALUE, source="s", address=f"plant/v{n}#v")
        for n in range(TOPICS)
    )
    source = Source(id="s", protocol="mqtt", options=broker.options() | {"time": "ts"})
    spool = SpoolEmit(Spool(folder / "spool", "bench"))
    emit = SourceEmit(spool, "s", signals)
    collector = discover()["mqtt"].create(source, signals, folder)
    wall, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(collector.run(emit))
    while not collector.status.connected or emit.seen.samples < wanted:
        await asyncio.sleep(0.005)
    took = time.perf_counter() - wall, time.process_time() - cpu
    await asyncio.sleep(2.0)  # what is on disk is being acknowledged
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await spool.close()
    assert emit.seen.samples == wanted, emit.seen.samples
    return *took, spool.batches


def publish(port: int) -> None:
    publisher = Publisher(port)
    publisher.start()
    start = int(time.time() * 1e6)
    for n in range(MESSAGES):
        wait = publisher.send(f"plant/v{n % TOPICS}", f'{{"ts": {start + n}, "v": {n}.5, "unit": "mm"}}')
    wait(60)
    publisher.stop()


def main() -> None:
    broker = Mosquitto(options=BrokerOptions(queued=2 * MESSAGES))
    broker.start()
    try:
        with tempfile.TemporaryDirectory(dir=".", prefix="var-bench-") as folder:
            subscribe_bare(broker.port)
            asyncio.run(collect(broker, Path(folder), 0))
            ours, bares = [], []
            for _ in range(ROUNDS):
                publish(broker.port)
                bares.append(run_bare(broker.port, MESSAGES))
                ours.append(asyncio.run(collect(broker, Path(folder), MESSAGES)))
    finally:
        broker.stop()
    wall, cpu, files = min(ours, key=lambda one: one[1])
    bare_wall, bare_cpu = min(bares, key=lambda one: one[1])
    print(
        f"{MESSAGES:,} JSON messages, QoS 1, into the spool: {MESSAGES / wall:,.0f}/s, "
        f"{cpu / MESSAGES * 1e6:.1f} us of CPU each, {files} files"
    )
    print(
        f"a bare paho subscriber that only counts: {MESSAGES / bare_wall:,.0f}/s, "
        f"{bare_cpu / MESSAGES * 1e6:.1f} us of CPU each; ratio {cpu / bare_cpu:.2f}"
    )


if __name__ == "__main__":
    main()
