"""What answers at the deploy targets, and how the last try went.

Revision ID: 0023
Revises: 0016
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0023"
down_revision = "0016"
branch_labels = None
depends_on = None

_text = sqlmodel.sql.sqltypes.AutoString
_time = sqlmodel.sql.sqltypes.UTCDateTime


def upgrade() -> None:
    op.create_table(
        "deployment",
        sa.Column("target", _text(), nullable=False),
        sa.Column("kind", _text(), nullable=False),
        sa.Column("model_id", _text(), nullable=True),
        sa.Column("promotion_id", sa.Integer(), nullable=True),
        sa.Column("place", _text(), nullable=False),
        sa.Column("mark", _text(), nullable=False),
        sa.Column("deployed_at", _time(), nullable=True),
        sa.Column("tried_promotion_id", sa.Integer(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tried_at", _time(), nullable=True),
        sa.Column("problem", _text(), nullable=True),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name="fk_deployment_model_id"),
        sa.ForeignKeyConstraint(["promotion_id"], ["promotion.id"], name="fk_deployment_promotion_id"),
        sa.ForeignKeyConstraint(["tried_promotion_id"], ["promotion.id"], name="fk_deployment_tried_promotion_id"),
        sa.PrimaryKeyConstraint("target", name="pk_deployment"),
    )


def downgrade() -> None:
    op.drop_table("deployment")
