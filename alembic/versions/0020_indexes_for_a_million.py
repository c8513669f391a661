"""Indexes for the looks at every conversation: what became of them, and whose raw text is due to go.

Revision ID: 0020
Revises: 0017
"""

import sqlalchemy as sa

from alembic import op

revision = "0020"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_conversation_funnel", "conversation", ["state", "consent", "curated_at"])
    kept = sa.text("raw_deleted_at IS NULL")
    op.create_index(
        "ix_conversation_raw", "conversation", ["first_curated_at"], sqlite_where=kept, postgresql_where=kept
    )


def downgrade() -> None:
    op.drop_index("ix_conversation_raw", table_name="conversation")
    op.drop_index("ix_conversation_funnel", table_name="conversation")
