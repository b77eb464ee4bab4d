"""Two recorded days of machine tools (credit: NIST, see data/README.md) through `lineside derive`.

The expected seconds were computed by an independent script from the same recordings.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
MAZAK = HERE / "data" / "nist_mazak03_20170516.shdr"
HURCO = HERE / "data" / "nist_hurco01_20170809.shdr"
MAZAK_PLANT = HERE.parents[1] / "infra" / "examples" / "nist-mazak" / "plant.toml"

HURCO_PLANT = """
schema = 1
[site]
id = "nist"
name = "NIST SMS Test Bed"
zone = "America/New_York"
[settings]
micro_stop = "0s"
[[equipment]]
id = "hurco-01"
name = "Hurco 01"
level = "WorkUnit"
[[source]]
id = "adapter"
protocol = "shdr"
host = "127.0.0.1"
port = 7878
[[signal]]
equipment = "hurco-01"
id = "execution"
role = "state"
source = "adapter"
address = "Program_Status"
states = { ACTIVE = "running", READY = "down", FEED_HOLD = "down", PROGRAM_COMPLETED = "down" }
[[signal]]
equipment = "hurco-01"
id = "parts"
role = "good"
source = "adapter"
address = "Part_Count"
min_cycle = "10s"
"""


def derive(*arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "infra", "derive", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


@pytest.mark.parametrize(
    ("start", "unknown"),
    [([], 61334.223), (["--from", "2017-05-16T00:00Z"], 32329.188)],
    ids=["from the first state sample", "the day"],
)
@pytest.mark.slow
def test_the_mazak_day(start: list[str], unknown: float) -> None:
    rows = derive("--plant", str(MAZAK_PLANT), str(MAZAK), *start, "--by", "equipment,reason")
    stopped = {
        r["group"]["reason"]: r["durations"]["unplanned_downtime"] for r in rows if r["group"]["reason"]
    }
    assert stopped == pytest.approx(
        {"stopped": 28849.942, "ready": 4048.939, "feed-hold": 77.63, "interrupted": 453.086}, abs=0.001
    )
    rest = next(r["durations"] for r in rows if r["group"]["reason"] is None)
    assert rest["running"] == pytest.approx(3913.01, abs=0.001)
    assert rest["unknown"] == pytest.approx(unknown, abs=0.001)
    assert sum(r["counts"]["total"] for r in rows) == 0, "the counter only ever read 0: nothing was made"


@pytest.mark.slow
def test_the_hurco_day_invents_no_parts(tmp_path: Path) -> None:
    plant = tmp_path / "plant.toml"
    plant.write_text(HURCO_PLANT)
    (row,) = derive("--plant", str(plant), str(HURCO))
    assert row["durations"]["running"] == pytest.approx(100.672, abs=0.001)
    assert row["durations"]["unplanned_downtime"] == pytest.approx(1862.095 + 1.516 + 83.056, abs=0.002)
    assert row["durations"]["unknown"] == pytest.approx(182614.587, abs=0.001)
    # 0 after the reconnect, then 3763: not made here. 3763 -> 3766 over a drop-out, and one more seen.
    assert row["counts"] == {"good": 4, "reject": 0, "rework": 0, "total": 4}
