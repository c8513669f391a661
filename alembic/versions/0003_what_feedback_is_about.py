"""Which second message each piece of feedback names.

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
    """Rounds before this did not note the other message: theirs stays empty."""
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("other_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False, server_default="")
        )


def downgrade() -> None:
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        batch_op.drop_column("other_id")
