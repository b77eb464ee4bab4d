"""InfluxQL: the statements the historian asks. What they may use runs on 1.x, 2.x and 3.x.

Every signal has fields of its own (`infra.historians.influx.lines`), so there is a statement for each, with the
same column names in all of them. Times are microseconds since 1970.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.historians.influx.lines import (
    EARLIEST,
    LATEST,
    MEASUREMENT,
    META_SUFFIX,
    NUMBER,
    TAG,
    TEXT_SUFFIX,
    decoded,
    encoded_tag,
)
from plant.frames import BAD

FIELD_KEYS = f'SHOW FIELD KEYS FROM "{MEASUREMENT}"'
"""What fields there are; their names are what `signals` wants."""
BUCKETS = 50_000
"""One statement asks for no more: it bounds what a server works on at a time, and some refuse more."""
STATEMENTS = 100
"""In one request; requests of more are cut by `requests`."""
_REQUEST_CHARACTERS = 250_000


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal the server knows."""

    name: str
    field: str
    number: bool
    """Whether any sample of it has had a number."""
    text: bool
    """Whether any sample of it has had a text."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What is asked about one signal."""

    signal: Signal
    influxql: str


def signals(fields: Iterable[str], wanted: Sequence[str] | None) -> list[Signal]:
    """The signals those fields are of, by name; `wanted` None means all."""
    there, asked = set(fields), None if wanted is None else set(wanted)
    stored = (f.removesuffix(META_SUFFIX) for f in there if f.endswith(META_SUFFIX))
    found = [Signal(decoded(f), f, f in there, f + TEXT_SUFFIX in there) for f in stored]
    return sorted((s for s in found if asked is None or s.name in asked), key=lambda s: s.name)


def samples_between(signal: Signal, start: int, end: int, equipment: Sequence[str] | None) -> Statement:
    """Columns time, value, text, meta (those the signal has) of each equipment, oldest first."""
    meta = f'{_name(signal.field + META_SUFFIX)} AS "meta"'
    return _statement(signal, _columns(signal, meta), _where(start, end, equipment))


def last_before(signal: Signal, end: int, equipment: Sequence[str] | None) -> Statement:
    """The newest sample of each equipment; columns as of `samples_between`."""
    newest = f'LAST({_name(signal.field + META_SUFFIX)}) AS "meta"'
    return _statement(signal, _columns(signal, newest), _where(None, end, equipment))


def trend_between(
    signal: Signal, start: int, end: int, length: int, equipment: Sequence[str] | None
) -> Iterator[Statement]:
    """Columns time, mean, min, max, count of buckets of `length`; statements of at most BUCKETS each.

    The server says a mean beyond all numbers in a way that is no JSON.
    """
    meta, value = _name(signal.field + META_SUFFIX), _name(signal.field)
    # holds * 10 + quality is 10, 11, 30 or 31 of a number that counts; % keeps the sign of a negative meta.
    step = NUMBER * 20
    counts = f"({meta} % {step} + {step + NUMBER * 10}) % {step} < {BAD}"
    figures = ", ".join(f'{f}({value}) AS "{f.lower()}"' for f in ("MEAN", "MIN", "MAX", "COUNT"))
    span = BUCKETS * length
    for cut in range(start // span * span, end, span):
        where = f"{_where(max(start, cut), min(end, cut + span), equipment)} AND {counts}"
        yield _statement(signal, figures, where, f", time({length}u) FILL(none)")


def buckets_fit(start: int, end: int, length: int) -> bool:
    """Whether the server can count in such buckets: their starts must be times it has."""
    return start // length * length >= EARLIEST and end + length <= LATEST


def delete_before(end: int) -> str:
    """Forget what is older."""
    return f'DELETE FROM "{MEASUREMENT}" WHERE time < {min(max(end, EARLIEST), LATEST)}u'


def requests(statements: Iterable[Statement]) -> Iterator[list[Statement]]:
    """Statements that go in one request, in their order."""
    held: list[Statement] = []
    length = 0
    for statement in statements:
        if held and (len(held) == STATEMENTS or length + len(statement.influxql) > _REQUEST_CHARACTERS):
            yield held
            held, length = [], 0
        held.append(statement)
        length += len(statement.influxql)
    if held:
        yield held


def _columns(signal: Signal, meta: str) -> str:
    value = f', {_name(signal.field)} AS "value"' if signal.number else ""
    text = f', {_name(signal.field + TEXT_SUFFIX)} AS "text"' if signal.text else ""
    return meta + value + text


def _statement(signal: Signal, what: str, where: str, buckets: str = "") -> Statement:
    return Statement(signal, f'SELECT {what} FROM "{MEASUREMENT}" WHERE {where} GROUP BY "{TAG}"{buckets}')


def _where(start: int | None, end: int, equipment: Sequence[str] | None) -> str:
    conditions = [f"time < {end}u" if end <= LATEST else f"time <= {LATEST}u"]
    if start is not None and start > EARLIEST:
        conditions.append(f"time >= {start}u")
    if equipment is not None:
        conditions.append("(" + " OR ".join(f'"{TAG}" = {_literal(encoded_tag(e))}' for e in equipment) + ")")
    return " AND ".join(conditions)


def _name(identifier: str) -> str:
    return f'"{identifier}"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
