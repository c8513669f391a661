"""Indexes for the list of conversations, and what reviewers decided about them.

Revision ID: 0022
Revises: 0023
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0022"
down_revision = "0023"
branch_labels = None
depends_on = None

_text = sqlmodel.sql.sqltypes.AutoString
_BROWSE = ["id", "state", "consent", "app_id", "language", "topic", "part", "occurred_at"]


def upgrade() -> None:
    op.create_index("ix_conversation_browse", "conversation", _BROWSE)
    served, named = sa.text("served_by IS NOT NULL"), sa.text("model IS NOT NULL")
    op.create_index(
        "ix_message_served_by",
        "message",
        ["served_by", "conversation_id"],
        sqlite_where=served,
        postgresql_where=served,
    )
    op.create_index(
        "ix_message_model", "message", ["model", "conversation_id"], sqlite_where=named, postgresql_where=named
    )
    op.create_index("ix_vote_value", "vote", ["value", "id"])
    op.drop_index("ix_rejection_rule", table_name="rejection")
    op.create_index("ix_rejection_rule", "rejection", ["rule", "conversation_id"])
    op.create_index("ix_quarantine_reason", "quarantine", ["reason", "conversation_id"])
    op.create_index("ix_snapshot_item_reason", "snapshot_item", ["round_id", "outcome", "reason", "conversation_id"])
    op.create_table(
        "review",
        sa.Column("conversation_id", _text(), sa.ForeignKey("conversation.id"), primary_key=True),
        sa.Column("verdict", _text(), nullable=False),
        sa.Column("seen", sa.Integer(), nullable=False),
        sa.Column("by", _text(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("review")
    op.drop_index("ix_snapshot_item_reason", table_name="snapshot_item")
    op.drop_index("ix_quarantine_reason", table_name="quarantine")
    op.drop_index("ix_rejection_rule", table_name="rejection")
    op.create_index("ix_rejection_rule", "rejection", ["rule"])
    for name, table in (
        ("ix_vote_value", "vote"),
        ("ix_message_model", "message"),
        ("ix_message_served_by", "message"),
        ("ix_conversation_browse", "conversation"),
    ):
        op.drop_index(name, table_name=table)
