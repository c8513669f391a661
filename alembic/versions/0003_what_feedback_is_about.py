"""Which second message each piece of feedback names, whose the trained tokens of corrections are, and
when each conversation was first curated.

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
    """Rounds before this noted neither: their other messages stay empty, and corrections count for the conversation.

    When a conversation was first curated is known only if it was curated once; else it is taken to be when it came.
    """
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("other_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default="")
        )
    with op.batch_alter_table("conversation", schema=None) as batch_op:
        batch_op.add_column(sa.Column("first_curated_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))
    op.execute(
        "UPDATE conversation SET first_curated_at = CASE WHEN curated_revision > 1 THEN received_at ELSE curated_at END "
        "WHERE curated_at IS NOT NULL"
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
    # no batch: it would rebuild the tables, which the foreign keys to conversations refuse
    op.drop_table("snapshot_writer")
    op.drop_column("conversation", "first_curated_at")
    op.drop_column("feedback_fate", "other_id")
