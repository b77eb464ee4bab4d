"""Random faults between a collector process and OPC UA servers that are not ours: it always recovers by itself, and every
value that is missing lies in a recorded gap.

The servers count, so that a value which is missing shows. `LINESIDE_FAULTS=100 pytest tests/crash/test_opcua_soak.py`
is the long run; `LINESIDE_SEED` repeats one.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from devices.opcua_servers import NodeOpcUa, Open62541, ServerOptions, ServerProcess
from devices.proxy import Proxy

from collectors.gaps import Gap, gaps
from collectors.opcua.certificates import read
from collectors.opcua.pki import Pki
from collectors.spool import Spool
from plant.frames import BAD

FAULTS = int(os.environ.get("LINESIDE_FAULTS", "14"))
SEED = int(os.environ.get("LINESIDE_SEED", "0")) or time.time_ns() % 1_000_000
RECOVERS = 60.0
"""Seconds after the end of a fault in which new values must come."""
SIGNALS, RATE = 5, 20.0
STEP = timedelta(seconds=1 / RATE)
ROOT = Path(__file__).parents[2]
PLANT = """schema = 1
[site]
id = "p"
name = "P"
zone = "UTC"
[[equipment]]
id = "m"
name = "M"
level = "WorkUnit"
[[source]]
id = "plc"
protocol = "opcua"
url = "opc.tcp://127.0.0.1:{port}/"
security = "{security}"
heartbeat = "2s"
"""

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(120 + 20 * FAULTS)]


class Rig:
    """A server, a proxy before it, a collector process, and what is on disk of it."""

    def __init__(self, folder: Path, server: ServerProcess, security: str) -> None:
        self.folder, self.server, self.security = folder, server, security
        self.proxy = Proxy(server.port)
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    async def start(self) -> None:
        await self.server.start()
        await self.proxy.start()
        signals = [
            f'[[signal]]\nequipment = "m"\nid = "v{n}"\nrole = "process_value"\nsource = "plc"\n'
            f'address = "{self.server.address(f"v{n}")}"\n'
            for n in range(SIGNALS)
        ]
        text = PLANT.format(port=self.proxy.port, security=self.security)
        (self.folder / "plant.toml").write_text(text + "".join(signals))
        self.collect()

    def collect(self) -> None:
        argv = ["-m", "infra", "collect", str(self.folder / "plant.toml"), "--data", str(self.data)]
        self.process = subprocess.Popen([sys.executable, *argv], cwd=ROOT, stderr=subprocess.DEVNULL)

    def kill_collector(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> None:
        self.kill_collector()
        await self.proxy.stop()
        await self.server.stop()

    def newest(self) -> dict[str, datetime]:
        """When the newest value of each signal was."""
        try:
            said = json.loads((self.data / "collectors" / "collect.json").read_text())
            signals = said["sources"]["plc"]["signals"]
        except (OSError, ValueError, KeyError):
            return {}
        return {
            name: datetime.fromisoformat(s["time"])
            for name, s in signals.items()
            if s["time"] and s["quality"] < BAD
        }

    async def recovered(self, since: datetime) -> None:
        """Every signal has a good value that is newer."""
        async with asyncio.timeout(RECOVERS):
            while (newest := self.newest()).keys() != names() or min(newest.values()) <= since:
                await asyncio.sleep(0.1)

    def detail(self) -> str:
        try:
            said = json.loads((self.data / "collectors" / "collect.json").read_text())
            return str(said["sources"]["plc"]["detail"])
        except (OSError, ValueError, KeyError):
            return "no status"


def names() -> set[str]:
    return {f"m.v{n}" for n in range(SIGNALS)}


def faults(rig: Rig, dice: random.Random) -> dict[str, Callable[[], Awaitable[None]]]:
    """Each makes a fault and ends it."""
    server, proxy = rig.server, rig.proxy

    async def killed() -> None:
        await server.kill()
        await asyncio.sleep(dice.uniform(0, 2))
        await server.start()

    async def frozen() -> None:
        server.freeze()
        await asyncio.sleep(dice.uniform(0.5, 8))
        server.thaw()

    async def stalled() -> None:
        proxy.stall()
        await asyncio.sleep(dice.uniform(0.5, 8))
        proxy.go()

    async def cut() -> None:
        await proxy.cut()
        await asyncio.sleep(dice.uniform(0, 4))
        await proxy.start()

    async def reset() -> None:
        for _ in range(dice.randint(1, 3)):
            proxy.reset()
            await asyncio.sleep(dice.uniform(0, 1))

    async def removed() -> None:
        await server.stop()
        server.asked.variables = SIGNALS - 1
        await server.start()
        await asyncio.sleep(dice.uniform(1, 4))
        await server.stop()
        server.asked.variables = SIGNALS
        await server.start()

    async def collector_killed() -> None:
        rig.kill_collector()
        await asyncio.sleep(dice.uniform(0, 3))
        rig.collect()

    async def sessions_closed() -> None:
        assert isinstance(server, NodeOpcUa)
        await server.close_sessions()

    async def expired() -> None:
        good = server.certificate.read_bytes()  # type: ignore[attr-defined]
        await server.stop()
        server.certificate.write_bytes(ended(server))  # type: ignore[attr-defined]
        await server.start()
        async with asyncio.timeout(RECOVERS):
            while "certificate" not in rig.detail():
                await asyncio.sleep(0.1)
        await server.stop()
        server.certificate.write_bytes(good)  # type: ignore[attr-defined]
        await server.start()

    own = {"sessions closed": sessions_closed} if isinstance(server, NodeOpcUa) else {"expired": expired}
    return {
        "killed": killed,
        "frozen": frozen,
        "stalled": stalled,
        "cut": cut,
        "reset": reset,
        "removed": removed,
        "collector killed": collector_killed,
        **own,
    }


def ended(server: ServerProcess) -> bytes:
    """The server's certificate, over since yesterday."""
    now = datetime.now(UTC)
    good = x509.load_der_x509_certificate(server.certificate.read_bytes())  # type: ignore[attr-defined]
    private = serialization.load_der_private_key((server.folder / "own.key.der").read_bytes(), None)
    builder = x509.CertificateBuilder(
        good.issuer,
        good.subject,
        good.public_key(),
        x509.random_serial_number(),
        now - timedelta(days=9),
        now - timedelta(days=1),
    )
    for extension in good.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(private, hashes.SHA256()).public_bytes(serialization.Encoding.DER)  # type: ignore[arg-type]


def stored(folder: Path) -> pl.DataFrame:
    """As a historian has it: of two rows of one key the one received last."""
    spool = Spool(folder / "spool")
    everything = pl.concat([spool.read(entry) for entry in spool.pending()])
    kept = everything.unique(["signal", "time"], keep="last", maintain_order=True)
    return kept.filter(pl.col("value").is_not_null(), pl.col("quality") < BAD).sort("signal", "time")


def unexplained(samples: pl.DataFrame, recorded: list[Gap]) -> list[str]:
    """Jumps of a counter that no recorded gap covers. Counting from the start again is a server's restart: what it had
    not sent any more when it ended, and what it counted before we were back, is missing too."""
    found = []
    for (name,), rows in samples.group_by("signal", maintain_order=True):
        of_it = [g for g in recorded if not g.signals or f"m.{name}" in g.signals]
        spans = sorted((g.first, g.last) for g in of_it)
        pairs = list(rows.select("time", "value").iter_rows())
        for (before, had), (after, came) in pairwise(pairs):
            if came in (had, had + 1):  # the one held said again, the next
                continue
            reached = before + STEP
            for first, last in spans:
                if first <= reached + STEP:
                    reached = max(reached, last)
            if reached < after - 2 * STEP:
                found.append(f"{name}: {had:g} at {before:%H:%M:%S.%f}, then {came:g} at {after:%H:%M:%S.%f}")
    return found


@pytest.mark.parametrize("kind", ["node-opcua", "open62541"])
def test_it_always_recovers_and_every_missing_value_lies_in_a_recorded_gap(kind: str, tmp_path: Path) -> None:
    dice = random.Random(f"{SEED} {kind}")
    done: list[str] = []

    async def main() -> None:
        if kind == "node-opcua":
            rig = Rig(tmp_path, NodeOpcUa(options=ServerOptions(variables=SIGNALS, rate=RATE)), "None")
        else:
            policy = (("Basic256Sha256", "SignAndEncrypt"),)
            server = Open62541(options=ServerOptions(variables=SIGNALS, rate=RATE, security=policy))
            rig = Rig(tmp_path, server, "SignAndEncrypt")
        await rig.start()
        if isinstance(rig.server, Open62541):
            Pki(rig.data).trust(read(rig.server.certificate.read_bytes()))
        try:
            await rig.recovered(datetime.fromtimestamp(0, UTC))
            possible = faults(rig, dice)
            # Each kind once before any comes again.
            order: list[str] = []
            while len(order) < FAULTS // 2:
                order += dice.sample(sorted(possible), len(possible))
            for name in order[: FAULTS // 2]:
                done.append(name)
                await possible[name]()
                ended = datetime.now(UTC)
                try:
                    await rig.recovered(ended + timedelta(seconds=0.5))
                except TimeoutError:
                    pytest.fail(f"seed {SEED}: not recovered from {done}: {rig.detail()}")
            await asyncio.sleep(3)
        finally:
            await rig.stop()

    asyncio.run(main())
    recorded = gaps(tmp_path / "data" / "spool")
    samples = stored(tmp_path / "data")
    missing = unexplained(samples, recorded)
    print(
        f"\n{kind}: {len(done)} faults, {samples.height} values, {len(recorded)} gaps recorded, seed {SEED}"
    )
    assert not missing, f"seed {SEED}, after {done}: {missing[:10]}; recorded {recorded[-10:]}"
