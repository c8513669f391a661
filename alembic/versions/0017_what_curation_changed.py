"""How many answers curation changed, and which full names who wrote, by keyed hash.

Revision ID: 0017
Revises: 0015
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

_text = sqlmodel.sql.sqltypes.AutoString
_COUNTS = ("answers", "answers_changed", "answers_replaced")


def upgrade() -> None:
    """What was curated before has no counts until it is curated again."""
    for name in _COUNTS:
        op.add_column("conversation", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "name_mention",
        sa.Column("conversation_id", _text(), sa.ForeignKey("conversation.id"), primary_key=True),
        sa.Column("name_hmac", _text(), primary_key=True),
    )
    op.create_index("ix_name_mention_name_hmac", "name_mention", ["name_hmac"])


def downgrade() -> None:
    """The hashes and counts go."""
    op.drop_table("name_mention")
    for name in _COUNTS:
        op.drop_column("conversation", name)
