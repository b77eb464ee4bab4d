"""What periodic jobs have done: watermarks, and the shifts they closed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from infra.records.pipeline_tables import shift_closures, watermarks
from plant.frames import Window


class Watermarks:
    """Until when a job has done its work, by (job, scope); on one connection. A job that was away works
    from its watermark to now, so nothing hangs on the scheduler firing every time."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, job: str, scope: str = "") -> datetime | None:
        """None: it has never run."""
        query = select(watermarks.c.done_until).where(watermarks.c.job == job, watermarks.c.scope == scope)
        done: datetime | None = self._connection.execute(query).scalar()
        return done

    def set(self, job: str, done_until: datetime, scope: str = "") -> None:
        """Note it, in the transaction of the work itself."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(watermarks).values(job=job, scope=scope, done_until=done_until)
        self._connection.execute(
            statement.on_conflict_do_update(index_elements=["job", "scope"], set_={"done_until": done_until})
        )


@dataclass(frozen=True, slots=True)
class ShiftClosure:
    """The figures of a shift as they were reported when it closed; later corrections do not touch them."""

    equipment: str
    shift: str
    shift_start: datetime
    closed_at: datetime
    figures: Mapping[str, object]


class ShiftClosures:
    """Closed shifts; on one connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def close(
        self,
        equipment: str,
        shift: str,
        shift_start: datetime,
        figures: Mapping[str, object],
        closed_at: datetime,
    ) -> bool:
        """Freeze the figures (JSON). False: that shift was closed before, and stays as it was."""
        dialect = postgresql if self._connection.dialect.name == "postgresql" else sqlite
        statement = dialect.insert(shift_closures).values(
            equipment=equipment,
            shift=shift,
            shift_start=shift_start,
            closed_at=closed_at,
            figures=dict(figures),
        )
        closed = statement.on_conflict_do_nothing().returning(shift_closures.c.shift)
        return self._connection.execute(closed).first() is not None

    def get(self, equipment: str, shift: str, shift_start: datetime) -> ShiftClosure | None:
        """None: not closed yet."""
        key = (
            shift_closures.c.equipment == equipment,
            shift_closures.c.shift == shift,
            shift_closures.c.shift_start == shift_start,
        )
        row = self._connection.execute(select(shift_closures).where(*key)).one_or_none()
        return None if row is None else ShiftClosure(*row)

    def begun_in(self, window: Window) -> list[ShiftClosure]:
        """Closed shifts that began inside the window, oldest first."""
        begun = shift_closures.c.shift_start >= window.start, shift_closures.c.shift_start < window.end
        order = shift_closures.c.shift_start, shift_closures.c.equipment
        rows = self._connection.execute(select(shift_closures).where(*begun).order_by(*order))
        return [ShiftClosure(*row) for row in rows]
