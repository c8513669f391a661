"""What the watch over a new champion found.

Revision ID: 0027
Revises: 0021
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0027"
down_revision = "0021"
branch_labels = None
depends_on = None

_text = sqlmodel.sql.sqltypes.AutoString
_time = sqlmodel.sql.sqltypes.UTCDateTime


def upgrade() -> None:
    op.create_table(
        "champion_watch",
        sa.Column("promotion_id", sa.Integer(), nullable=False),
        sa.Column("model_id", _text(), nullable=False),
        sa.Column("signals", sa.JSON(), nullable=False),
        sa.Column("looked_at", _time(), nullable=True),
        sa.Column("alarm_at", _time(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_champion_watch_model_id"),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name="fk_champion_watch_promotion_id"),
        sa.PrimaryKeyConstraint("promotion_id", name="pk_champion_watch"),
    )


def downgrade() -> None:
    op.drop_table("champion_watch")
