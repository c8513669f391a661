"""Which API key asked for a round, so that its right to promote can be looked at again when the round has passed.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rounds before this noted the label alone: those that a key asked for are not promoted by themselves."""
    op.add_column("round", sa.Column("requested_key", sqlmodel.sql.sqltypes.AutoString(), nullable=True))


def downgrade() -> None:
    op.drop_column("round", "requested_key")
