"""The `lineside` command. Each command imports what it needs when it runs, so that `--help` is quick."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="lineside",
    help="An open MES and OEE monitoring stack.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PlantPath = Annotated[Path, typer.Argument(metavar="PLANT.toml", help="The plant file.")]
Data = Annotated[Path, typer.Option("--data", help="Folder that holds history, records and spool.")]
Port = Annotated[int, typer.Option("--port", help="Port of the board and the REST API.")]
Host = Annotated[
    str, typer.Option("--host", help="Address to listen on; only loopback until there is sign-in.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]

OptionalPlant = Annotated[Path | None, typer.Argument(metavar="[PLANT.toml]", help="The plant file.")]

db = typer.Typer(help="The records database: its schema, size and upgrade.", no_args_is_help=True)
app.add_typer(db, name="db")


@app.command()
def check(plant: PlantPath, json: Json = False) -> None:
    """Check a plant file: all errors at once, each with file, path and fix."""
    from infra.cli.check import run

    raise typer.Exit(run(plant, json))


@app.command()
def browse(
    address: Annotated[
        str,
        typer.Argument(
            metavar="ADDRESS",
            help="opc.tcp://host:4840, modbus://host:502?unit=1, mqtt://host/prefix or http://agent:5000.",
        ),
    ],
    watch: Annotated[
        str, typer.Option(help="How long to watch what the variables do; 0s: only list them.")
    ] = "60s",
    write: Annotated[
        Path | None, typer.Option(metavar="PLANT.toml", help="Write the machines into this plant file.")
    ] = None,
    cycle: Annotated[
        list[str] | None,
        typer.Option(help="Ideal cycle: 2.4s or 30/min; of one machine of several: MACHINE=2.4s."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Take what is proposed without asking.")] = False,
    every: Annotated[bool, typer.Option("--all", help="List also what has no part in the proposal.")] = False,
    user: Annotated[
        str, typer.Option(help="Who logs in there; the password is read from LINESIDE_SOURCE_PASSWORD.")
    ] = "",
    security: Annotated[
        str, typer.Option(help="OPC UA: auto, SignAndEncrypt, Sign or None, as in the plant file.")
    ] = "",
    data: Data = Path("var/plant"),
    json: Json = False,
) -> None:
    """Look at a source, say what its variables probably are, and write that into a plant file."""
    from infra.cli.browse import run

    raise typer.Exit(run(address, watch, write, cycle or [], yes, every, json, data, user, security))


@app.command()
def up(
    plant: PlantPath,
    data: Data = Path("var/plant"),
    port: Port = 8050,
    host: Host = "127.0.0.1",
    part: Annotated[
        str | None,
        typer.Option(help="Only one of collect, derive, serve, alert: each a process of its own."),
    ] = None,
) -> None:
    """Run a plant: collect, derive, watch and serve the board."""
    from infra.cli.up import Part, run

    if part is not None and part not in [*Part]:
        raise typer.BadParameter(f"there is no part {part!r}: choose one of {', '.join(Part)}")
    raise typer.Exit(run(plant, data, host, port, Part(part) if part else None))


@app.command()
def demo(
    data: Data = Path("var/demo"),
    port: Port = 8050,
    host: Host = "127.0.0.1",
    seed: Annotated[int, typer.Option(help="Another seed is another day at the plant.")] = 23,
    hours: Annotated[float, typer.Option(help="Hours of history the plant starts with.")] = 3.0,
) -> None:
    """Start a simulated plant and Lineside on it: a live board in half a minute."""
    from infra.cli.demo import run

    raise typer.Exit(run(data, host, port, seed, hours))


@app.command()
def derive(
    plant: Annotated[Path, typer.Option("--plant", help="The plant file.")],
    samples: Annotated[
        list[Path] | None, typer.Argument(help="SHDR, CSV or Parquet; none: the historian.")
    ] = None,
    orders: Annotated[Path | None, typer.Option(help="Orders, CSV or Excel.")] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Start, ISO 8601; no zone: the plant's.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End (not included), ISO 8601.")] = None,
    by: Annotated[
        str, typer.Option(help="Any of equipment,line,shift,order,product,hour,day,reason,raw.")
    ] = "equipment",
    json: Json = False,
    parquet: Annotated[Path | None, typer.Option(help="Write the table to this Parquet file.")] = None,
    data: Data = Path("var/plant"),
) -> None:
    """Derive time, counts and KPIs from samples, offline; the same functions as the live board."""
    from infra.cli.derive import run

    raise typer.Exit(run(plant, samples or [], orders, start, end, by, json, parquet, data))


@app.command()
def backfill(
    plant: PlantPath,
    start: Annotated[str, typer.Option("--from", help="Start, ISO 8601; no zone: the plant's.")],
    end: Annotated[str, typer.Option("--to", help="End (not included), ISO 8601.")],
    data: Data = Path("var/plant"),
    equipment: Annotated[
        list[str] | None,
        typer.Option(help="A machine, or a line or area with its machines; may be repeated."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that read samples; 1: this one.")] = 1,
    cluster: Annotated[
        str | None, typer.Option(metavar="tcp://HOST:PORT", help="A Dask cluster to read samples with.")
    ] = None,
) -> None:
    """Derive past time from the historian into the stored ledger, as often as you like; it goes on where it stopped."""
    from infra.cli.backfill import run

    raise typer.Exit(run(plant, data, start, end, equipment or [], workers, cluster))


@app.command()
def plan(
    current: Annotated[Path, typer.Argument(help="The plant file in use.")],
    other: Annotated[Path, typer.Argument(help="The plant file you would like.")],
    data: Data = Path("var/plant"),
    days: Annotated[
        float, typer.Option(min=0, max=366, help="Compare the figures of so many days; 0: do not.")
    ] = 7.0,
    json: Json = False,
) -> None:
    """Show what another plant file changes, connections and figures, before it does."""
    from infra.cli.plan import run

    raise typer.Exit(run(current, other, data, days, json))


@app.command()
def replay(
    plant: PlantPath,
    recording: Annotated[list[Path], typer.Argument(help="SHDR, CSV or Parquet.")],
    data: Data = Path("var/plant"),
    speed: Annotated[float, typer.Option(help="2: twice as fast as recorded; 0: at once.")] = 1.0,
    as_recorded: Annotated[bool, typer.Option("--as-recorded", help="Keep the recorded times.")] = False,
) -> None:
    """Feed a recording to the plant that runs on the data folder, as if it happened now."""
    from infra.cli.replay import run

    raise typer.Exit(run(plant, recording, data, speed, as_recorded))


@app.command()
def provision(
    plant: PlantPath,
    data: Data = Path("var/plant"),
    admin_user: Annotated[
        str,
        typer.Option(
            envvar="LINESIDE_INFLUX_ADMIN_USER",
            help="Administrator of InfluxDB; the password is read from LINESIDE_INFLUX_ADMIN_PASSWORD, or a token "
            "from LINESIDE_INFLUX_ADMIN_TOKEN instead.",
        ),
    ] = "",
) -> None:
    """Create on the plant's InfluxDB and PostgreSQL what is missing; nothing that is there is lost.

    With an administrator's postgresql:// URL in LINESIDE_POSTGRES_ADMIN_URL, also the user and the database.
    """
    from infra.cli.provision import run

    raise typer.Exit(run(plant, data, admin_user))


@app.command()
def doctor(
    plant: Annotated[Path | None, typer.Argument(metavar="[PLANT.toml]", help="The plant file.")] = None,
    data: Data = Path("var/plant"),
    port: Port = 8050,
    json: Json = False,
) -> None:
    """Say what is reachable, configured and installed, and what to do about the rest."""
    from infra.cli.doctor import run

    raise typer.Exit(run(plant, data, port, json))


@app.command()
def sources(
    source: Annotated[
        str | None, typer.Argument(metavar="[SOURCE]", help="Id of one: show its signals, too.")
    ] = None,
    plant: Annotated[
        Path | None,
        typer.Option("--plant", help="The plant file: with units, and sources not collected from."),
    ] = None,
    data: Data = Path("var/plant"),
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second.")] = False,
    json: Json = False,
) -> None:
    """Show what comes in from each source and what does not; 1 when one needs attention."""
    from infra.cli.sources import run

    raise typer.Exit(run(plant, data, source, watch, json))


@db.command("status")
def db_status(plant: OptionalPlant = None, data: Data = Path("var/plant"), json: Json = False) -> None:
    """Say which records database is used, its schema, size, rows and last backup; 1 when it needs an upgrade."""
    from infra.cli.db import run_status

    raise typer.Exit(run_status(plant, data, json))


@db.command("upgrade")
def db_upgrade(plant: OptionalPlant = None, data: Data = Path("var/plant")) -> None:
    """Bring the schema of the records database to this version, all or nothing; `up` does it by itself."""
    from infra.cli.db import run_upgrade

    raise typer.Exit(run_upgrade(plant, data))


spool = typer.Typer(help="What waits for the historian, was lost, or was refused.", no_args_is_help=True)
app.add_typer(spool, name="spool")


@spool.command("status")
def spool_status(data: Data = Path("var/plant"), json: Json = False) -> None:
    """Say what waits for the historian, how full the spool is and what was lost; 1 when a bound is near."""
    from infra.cli.spool import run_status

    raise typer.Exit(run_status(data, json))


@spool.command("dead")
def spool_dead(
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="Show the samples of this one.")
    ] = None,
    data: Data = Path("var/plant"),
    json: Json = False,
) -> None:
    """List samples that were refused for good, each file with its most frequent problem."""
    from infra.cli.spool import run_dead

    raise typer.Exit(run_dead(data, file, json))


@spool.command("retry")
def spool_retry(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE]...", help="Which; see `dead`.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every file.")] = False,
    data: Data = Path("var/plant"),
) -> None:
    """Put refused samples back into the spool, once the cause is mended."""
    from infra.cli.spool import run_retry

    raise typer.Exit(run_retry(data, files or [], everything))


opcua = typer.Typer(help="OPC UA: our certificate, and which servers are trusted.", no_args_is_help=True)
app.add_typer(opcua, name="opcua")
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@opcua.command("trust")
def opcua_trust(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="Id of a source that is refused, opc.tcp://host:port, or the first digits of a fingerprint.",
        ),
    ],
    data: Data = Path("var/plant"),
    yes: Yes = False,
) -> None:
    """Show a server's certificate and trust it; a running plant connects without a restart."""
    from infra.cli.opcua import run_trust

    raise typer.Exit(run_trust(what, data, yes))


@opcua.command("untrust")
def opcua_untrust(
    what: Annotated[str, typer.Argument(metavar="FINGERPRINT", help="Its first digits.")],
    data: Data = Path("var/plant"),
    yes: Yes = False,
) -> None:
    """Trust a server's certificate no longer."""
    from infra.cli.opcua import run_untrust

    raise typer.Exit(run_untrust(what, data, yes))


@opcua.command("certificates")
def opcua_certificates(data: Data = Path("var/plant"), json: Json = False) -> None:
    """List our own, the trusted and the refused certificates with their expiry; 1 when one needs attention."""
    from infra.cli.opcua import run_certificates

    raise typer.Exit(run_certificates(data, json))


@opcua.command("export")
def opcua_export(
    to: Annotated[Path, typer.Argument(metavar="[FILE]", help="The file to write, DER.")] = Path(
        "lineside.der"
    ),
    data: Data = Path("var/plant"),
) -> None:
    """Write our own certificate, for the servers to trust."""
    from infra.cli.opcua import run_export

    raise typer.Exit(run_export(to, data))


@app.command()
def backup(
    to: Annotated[Path, typer.Option("--to", help="The file to make; none is overwritten.")],
    plant: OptionalPlant = None,
    data: Data = Path("var/plant"),
) -> None:
    """Put records, history, waiting samples and the plant file into one file, while the plant runs or not."""
    from infra.cli.backup import run_backup

    raise typer.Exit(run_backup(plant, data, to))


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file made by `lineside backup`.")],
    data: Data = Path("var/plant"),
    plant: Annotated[
        Path | None,
        typer.Option("--plant", help="The plant file to go on with; none: the one in the backup."),
    ] = None,
) -> None:
    """Bring a backup back into an empty data folder, database and historian: all of it or nothing."""
    from infra.cli.backup import run_restore

    raise typer.Exit(run_restore(file, data, plant))


@app.command(hidden=True)
def collect(
    plant: PlantPath,
    data: Data,
    options: Annotated[
        str, typer.Option(help="JSON: source id to options that override the plant file's.")
    ] = "{}",
    process: Annotated[str, typer.Option(help="Which of the plant file's processes this is.")] = "collect",
) -> None:
    """Run the plant's collectors (started by `up`)."""
    from infra.cli.collect import run

    raise typer.Exit(run(plant, data, options, process))


def plant_time(text: str, zone: str) -> datetime:
    """An ISO 8601 time; one without an offset is wall time of the plant. Raises typer.BadParameter."""
    from datetime import UTC
    from zoneinfo import ZoneInfo

    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"{text!r} is not a time: write 2026-11-22T06:00 or 2026-11-22T05:00Z"
        ) from error
    return (time if time.tzinfo else time.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def main() -> None:
    """Entry point of the `lineside` script."""
    app()
