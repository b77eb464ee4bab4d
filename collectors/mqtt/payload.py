"""Messages to samples. Pure: no clock, no socket; what is remembered is which devices are there."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
import polars as pl

from collectors.mqtt.address import MISSING, Address, look_up
from collectors.mqtt.stream import Message
from collectors.samples import NUMBER, TEXT_ROLES, signal_table, to_samples
from collectors.times import epoch_time, iso_time
from plant.frames import BAD, GOOD, SAMPLES, TIME, UNCERTAIN, empty
from plant.model import Signal

QUALITIES = {"good": GOOD, "true": GOOD, "uncertain": UNCERTAIN, "bad": BAD, "false": BAD}
CLASSIC_GOOD, CLASSIC_UNCERTAIN = 192, 64
"""OPC's classic quality bytes from which a value is good, or uncertain."""
ROWS = {
    "index": pl.UInt32,
    "when": pl.String,
    "value": pl.Float64,
    "text": pl.String,
    "quality": pl.UInt8,
    "retained": pl.Boolean,
}
SHOWN = 60
"""Characters of a payload shown in a message."""

_number = re.compile(NUMBER, re.ASCII).match


@dataclass(frozen=True, slots=True)
class Mapped:
    """A signal and how its messages are read."""

    signal: Signal
    address: Address
    time: tuple[str, ...] | None = None
    """Way to the source's time in a JSON payload."""
    quality: tuple[str, ...] | None = None
    status: Address | None = None
    """Where its device, or the broker for it, says whether it is there."""
    offline: str = "offline"
    """What it says there when it is not."""

    @property
    def key(self) -> str:
        """ "equipment.signal"."""
        return f"{self.signal.equipment}.{self.signal.id}"


@dataclass(slots=True)
class Decoded:
    """What a batch of messages says."""

    live: pl.DataFrame
    """Samples (`plant.frames.SAMPLES`) of messages that were published while we listened."""
    retained: pl.DataFrame
    """Samples of messages that the broker had kept as the last ones: their age proves nothing."""
    said: dict[str, str | None]
    """Signal to why it has no value now; None: it has one."""


@dataclass(slots=True)
class _Rows:
    index: list[int] = field(default_factory=list)
    when: list[str | None] = field(default_factory=list)
    value: list[float | None] = field(default_factory=list)
    text: list[str | None] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    retained: list[bool] = field(default_factory=list)


class _BadError(Exception):
    """Why a payload gives no value."""


class Decoder:
    """Messages of one source to samples of its signals."""

    def __init__(self, mapped: Sequence[Mapped]) -> None:
        self.bad = 0
        """Payloads that could not be used."""
        self._mapped = tuple(mapped)
        self._signals = [m.signal for m in mapped]
        self._texts = [m.signal.role in TEXT_ROLES for m in mapped]
        self._table = signal_table(self._signals)
        self._by_topic: dict[str, list[int]] = {}
        self._by_status: dict[str, list[int]] = {}
        for index, one in enumerate(mapped):
            self._by_topic.setdefault(one.address.topic, []).append(index)
            if one.status is not None:
                self._by_status.setdefault(one.status.topic, []).append(index)
        self._known: set[int] = set()
        self._there: dict[int, bool] = {}
        self._unusable: set[int] = set()
        """Signals of which the last was said to be no value because of a bad payload."""

    @property
    def topics(self) -> list[str]:
        """All topics there are messages wanted of."""
        return list(dict.fromkeys([*self._by_topic, *self._by_status]))

    def keys_of(self, topic: str) -> list[str]:
        """Signals whose values come on that topic."""
        return [self._mapped[index].key for index in self._by_topic.get(topic, ())]

    @property
    def silent(self) -> list[str]:
        """Signals that never had a value."""
        return [one.key for index, one in enumerate(self._mapped) if index not in self._known]

    @property
    def alive(self) -> set[str]:
        """Signals whose device is known to be there."""
        return {self._mapped[index].key for index, there in self._there.items() if there}

    def connected(self) -> None:
        """A connection was made: which devices are there is to be heard anew."""
        self._there.clear()
        self._unusable.clear()

    def decode(
        self, messages: Iterable[Message], received: datetime, newest: Mapping[str, datetime]
    ) -> Decoded:
        """What a batch of messages says. `newest`: of each signal the time of the newest sample so far."""
        rows, said, gone = _Rows(), dict[int, str | None](), list[tuple[int, int]]()
        for message in messages:
            if (indexes := self._by_topic.get(message.topic)) is not None:
                self._values(indexes, message.payload, message.retain, rows, said)
            if (indexes := self._by_status.get(message.topic)) is not None:
                self._status(indexes, message.payload, len(rows.index), gone, said)
        samples = self._samples(rows, said, received)
        bad = self._without_value(samples, said, gone, received, newest)
        live = samples.filter(~pl.col("retained")).drop("retained")
        return Decoded(
            pl.concat([live, bad]) if not bad.is_empty() else live,
            samples.filter("retained").drop("retained"),
            {self._mapped[index].key: why for index, why in said.items()},
        )

    def _values(
        self,
        indexes: list[int],
        payload: bytes,
        retained: bool,
        rows: _Rows,
        said: dict[int, str | None],
    ) -> None:
        document = _parse(payload)
        for index in indexes:
            one = self._mapped[index]
            try:
                value = self._value(index, one, payload, document)
                if value is MISSING:
                    continue
                when, quality = _meta(one, document)
                number, text = _read(value, self._texts[index])
            except (_BadError, ArithmeticError, RecursionError) as error:
                self.bad += 1  # never fatal: the broker would send the same again and again
                said[index] = f"{error}; {self.bad} unusable payloads so far"
                continue
            if retained and when is None:
                there = self._there.get(index)
                if there is False:
                    continue  # the last word of a device that is gone
                quality = quality if there or quality == BAD else UNCERTAIN
            if quality == BAD:
                number = text = None
            rows.index.append(index)
            rows.when.append(when)
            rows.value.append(number)
            rows.text.append(text)
            rows.quality.append(quality)
            rows.retained.append(retained)
            self._known.add(index)
            said[index] = "the source says it has no value" if number is None and text is None else None

    def _value(self, index: int, one: Mapped, payload: bytes, document: Any) -> Any:
        if not one.address.path:
            if document is not MISSING and (isinstance(document, str) or not self._texts[index]):
                return document
            try:
                return payload.decode()
            except UnicodeDecodeError:
                raise _BadError(f"the payload is no text: {payload[:SHOWN]!r}") from None
        if document is MISSING:
            raise _BadError(f"the payload is no JSON: {payload[:SHOWN]!r}")
        value = look_up(document, one.address.path)
        if value is MISSING and index not in self._known:
            place = "/".join(("", *one.address.path))
            raise _BadError(f"there is no {place} in the payload {payload[:SHOWN]!r}")
        return value  # what is left out of a later message has not changed

    def _status(
        self,
        indexes: list[int],
        payload: bytes,
        position: int,
        gone: list[tuple[int, int]],
        said: dict[int, str | None],
    ) -> None:
        document = _parse(payload)
        for index in indexes:
            one = self._mapped[index]
            assert one.status is not None
            found = look_up(document, one.status.path) if one.status.path else document
            text = payload.decode(errors="replace") if found is MISSING else _plain(found)
            there = text.strip().lower() != one.offline.lower()
            if not there and self._there.get(index) is not False:
                gone.append((index, position))
                said[index] = f"{one.status.topic} says {one.offline}"
            self._there[index] = there

    def _samples(self, rows: _Rows, said: dict[int, str | None], received: datetime) -> pl.DataFrame:
        """SAMPLES and whether they were retained, in the order of `rows`."""
        frame = pl.DataFrame({name: getattr(rows, name) for name in ROWS}, schema=ROWS)
        now = pl.lit(received).cast(TIME)
        if frame["when"].null_count() == frame.height:
            timed = frame.with_columns(now.alias("time"))
        else:
            own = pl.coalesce(iso_time(pl.col("when")), epoch_time(pl.col("when"))).cast(TIME)
            timed = frame.with_columns(
                pl.when(pl.col("when").is_null()).then(now).otherwise(own).alias("time")
            )
            for index, when in timed.filter(pl.col("time").is_null()).select("index", "when").iter_rows():
                self.bad += 1
                said[index] = f"{when[:SHOWN]!r} is no time; {self.bad} unusable payloads so far"
            wrong = pl.col("time").is_null()
            timed = timed.with_columns(
                pl.col("time").fill_null(now),
                *(pl.when(~wrong).then(pl.col(name)).alias(name) for name in ("value", "text")),
                pl.when(wrong).then(pl.lit(BAD, pl.UInt8)).otherwise("quality").alias("quality"),
            )
        timed = timed.hstack(self._table[timed["index"]].drop("address"))
        return to_samples(timed, received).hstack([timed["retained"]])

    def _without_value(
        self,
        samples: pl.DataFrame,
        said: dict[int, str | None],
        gone: list[tuple[int, int]],
        received: datetime,
        newest: Mapping[str, datetime],
    ) -> pl.DataFrame:
        """A sample without a value for each signal whose last message could not be used, and where a device went."""
        rows = []
        keys = (
            samples.select(pl.concat_str("equipment", "signal", separator="."), "time").rows() if gone else []
        )
        left = {index for index, _ in gone}
        for index, position in gone:
            one = self._mapped[index]
            own = [time for key, time in keys[:position] if key == one.key]
            own += [newest[one.key]] if one.key in newest else []
            after = max(own) + timedelta(microseconds=1) if own else None
            if self._there.get(index) or said.get(index) is None:
                # Back again in the same batch: what follows may be stamped before now.
                if after is None:
                    continue
                time = after
            else:
                time = max(after or received, received)
            rows.append((time, one.signal.equipment, one.signal.id, None, None, BAD, received))
        for index, why in said.items():
            signal = self._mapped[index].signal
            if why is None:
                self._unusable.discard(index)
            elif index not in left and index not in self._unusable and not _ends_without(samples, signal):
                self._unusable.add(index)
                rows.append((received, signal.equipment, signal.id, None, None, BAD, received))
        return pl.DataFrame(rows, schema=dict(SAMPLES), orient="row") if rows else empty(SAMPLES)


def _ends_without(samples: pl.DataFrame, signal: Signal) -> bool:
    """Whether the last sample of a signal has no value already."""
    its = samples.filter((pl.col("equipment") == signal.equipment) & (pl.col("signal") == signal.id))
    return not its.is_empty() and its["quality"][-1] == BAD


def parse_json(payload: bytes) -> tuple[bool, Any]:
    """Whether a payload is JSON, and the document."""
    document = _parse(payload)
    return document is not MISSING, document


def _parse(payload: bytes) -> Any:
    """The JSON document a payload is; MISSING when it is none."""
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        if b"NaN" not in payload and b"Infinity" not in payload:
            return MISSING
    try:
        return json.loads(payload)  # as Python and others write what is no number
    except (ValueError, RecursionError):
        return MISSING


def _meta(one: Mapped, document: Any) -> tuple[str | None, int]:
    """The source's time as text, and the quality; only a payload with more than the value in it has them."""
    if not one.address.path:
        return None, GOOD
    when, quality = None, GOOD
    if one.time is not None:
        found = look_up(document, one.time)
        if isinstance(found, bool) or not isinstance(found, str | int | float):
            raise _BadError(f"there is no time at {'/'.join(('', *one.time))} in the payload")
        when = str(found)
    if one.quality is not None:
        quality = _quality(look_up(document, one.quality))
    return when, quality


def _quality(found: Any) -> int:
    if found is MISSING or found is None:
        return GOOD
    if isinstance(found, int | float) and not isinstance(found, bool):
        return GOOD if found >= CLASSIC_GOOD else UNCERTAIN if found >= CLASSIC_UNCERTAIN else BAD
    known = QUALITIES.get(str(found).strip().lower())
    if known is None:
        raise _BadError(
            f"{str(found)[:SHOWN]!r} is no quality; good, uncertain, bad, true, false and 0 to 255 are"
        )
    return known


def _read(value: Any, keep_text: bool) -> tuple[float | None, str | None]:
    """Number and text of a JSON value; neither: it says it has none. An empty text that is kept says that there is none."""
    if isinstance(value, float | int):  # true and false too
        if not math.isfinite(value):
            return None, None
        if not keep_text:
            return float(value), None
        return None, _plain(value)
    if isinstance(value, str):
        if not value.strip():
            return None, "" if keep_text else None
        if not keep_text and _number(value):
            number = float(value)
            return (number if math.isfinite(number) else None), None
        return None, value
    if value is None:
        return None, None
    kind = "an object" if isinstance(value, dict) else "a list"
    raise _BadError(f"the value is {kind}; add the place in it to the address, like #/a/b/0")


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
