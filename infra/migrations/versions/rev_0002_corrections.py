"""Corrections of what was derived, and the restatements that follow from them."""

import sqlalchemy as sa
from alembic import op

from infra.migrations.append_only import allow_changes, refuse_changes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

APPEND_ONLY = ("count_corrections", "restatements")
KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("ledger", sa.Column("startup", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("recodes", sa.Column("state", sa.String(length=32), nullable=True))
    op.add_column("recodes", sa.Column("note", sa.Text(), nullable=True))
    op.create_table(
        "count_corrections",
        sa.Column("id", KEY, nullable=False),
        sa.Column("equipment", sa.String(length=64), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_count_corrections")),
    )
    with op.batch_alter_table("count_corrections", schema=None) as batch_op:
        batch_op.create_index("ix_count_corrections_equipment_time", ["equipment", "time"], unique=False)
    op.create_table(
        "restatements",
        sa.Column("id", KEY, nullable=False),
        sa.Column("equipment", sa.String(length=64), nullable=False),
        sa.Column("shift", sa.String(length=64), nullable=False),
        sa.Column("shift_start", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_restatements")),
    )
    with op.batch_alter_table("restatements", schema=None) as batch_op:
        batch_op.create_index("ix_restatements_shift_start", ["shift_start"], unique=False)
    for table in APPEND_ONLY:
        refuse_changes(table)


def downgrade() -> None:
    for table in APPEND_ONLY:
        op.drop_table(table)
        allow_changes(table)
    op.drop_column("recodes", "note")
    op.drop_column("recodes", "state")
    op.drop_column("ledger", "startup")
