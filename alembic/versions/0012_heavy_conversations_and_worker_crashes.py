"""Which waiting conversations are heavy, and when workers crashed.

Revision ID: 0012
Revises: 0014
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0012"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # no batch: it would rebuild the table that most others refer to
    op.add_column("conversation", sa.Column("heavy", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.drop_index("ix_conversation_due", table_name="conversation")
    op.create_index("ix_conversation_due", "conversation", ["state", "heavy", "received_at"])
    op.add_column("worker_seen", sa.Column("ended", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "worker_crash",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("owner", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("how", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker_crash")),
    )
    op.create_index(op.f("ix_worker_crash_at"), "worker_crash", ["at"])


def downgrade() -> None:
    op.drop_table("worker_crash")
    op.drop_column("worker_seen", "ended")
    op.drop_index("ix_conversation_due", table_name="conversation")
    op.create_index("ix_conversation_due", "conversation", ["state", "received_at"])
    op.drop_column("conversation", "heavy")
