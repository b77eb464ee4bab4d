"""Inspections people record."""

import sqlalchemy as sa
from alembic import op

from infra.migrations.append_only import allow_changes, refuse_changes

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "inspections",
        sa.Column("id", KEY, nullable=False),
        sa.Column("equipment", sa.String(length=64), nullable=False),
        sa.Column("test", sa.String(length=64), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("inspected", sa.BigInteger(), nullable=False),
        sa.Column("nonconforming", sa.BigInteger(), nullable=True),
        sa.Column("defects", sa.BigInteger(), nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("user", sa.String(length=200), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("withdraws", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inspections")),
    )
    with op.batch_alter_table("inspections", schema=None) as batch_op:
        batch_op.create_index("ix_inspections_equipment_time", ["equipment", "time"], unique=False)
    refuse_changes("inspections")


def downgrade() -> None:
    op.drop_table("inspections")
    allow_changes("inspections")
