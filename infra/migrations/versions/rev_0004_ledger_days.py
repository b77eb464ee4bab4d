"""Which days of the ledger changed: what is kept of it in columns follows."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DAY = 86_400_000_000


def upgrade() -> None:
    op.create_table(
        "ledger_days",
        sa.Column("day", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_ledger_days")),
    )
    span = sa.text('SELECT min("start"), max("end") FROM ledger')
    first, last = op.get_bind().execute(span).one()
    if first is None:
        return
    days = sa.table("ledger_days", sa.column("day"), sa.column("version"))
    op.bulk_insert(
        days,
        [{"day": day, "version": secrets.randbits(62)} for day in range(first // DAY * DAY, last, DAY)],
    )


def downgrade() -> None:
    op.drop_table("ledger_days")
