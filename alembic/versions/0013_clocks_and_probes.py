"""A row to probe writes with, the looks of retention, and how far each schedule has come.

Revision ID: 0013
Revises: 0003
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0013"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "write_probe",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_probe")),
    )
    op.create_table(
        "retention_look",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("since", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("before", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_retention_look")),
    )
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.add_column(sa.Column("last_slot", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))
        batch_op.add_column(sa.Column("missed", sa.Integer(), nullable=False, server_default="0"))
        batch_op.add_column(sa.Column("last_missed", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))
    op.execute("UPDATE schedule SET last_slot = (SELECT max(slot) FROM round WHERE round.schedule = schedule.name)")


def downgrade() -> None:
    for column in ("last_missed", "missed", "last_slot"):
        op.drop_column("schedule", column)
    op.drop_table("retention_look")
    op.drop_table("write_probe")
