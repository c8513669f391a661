"""Which second message each piece of feedback names, and whose the trained tokens of corrections are.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rounds before this noted neither: their other messages stay empty, and corrections count for the conversation."""
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("other_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default="")
        )
    op.create_table(
        "snapshot_writer",
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("person_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("tokens", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_snapshot_writer_round_id")),
        sa.PrimaryKeyConstraint("round_id", "conversation_id", "person_id", name=op.f("pk_snapshot_writer")),
    )


def downgrade() -> None:
    op.drop_table("snapshot_writer")
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        batch_op.drop_column("other_id")
