"""What a chat holds beside text: states, models and times of messages, and what votes say beyond up and down.

Revision ID: 0015
Revises: 0010
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0015"
down_revision = "0010"
branch_labels = None
depends_on = None

_text = sqlmodel.sql.sqltypes.AutoString
_time = sqlmodel.sql.sqltypes.UTCDateTime


def upgrade() -> None:
    """`state` takes the place of `complete`. All that was sealed before is text, and all feedback a person's."""
    op.add_column("message", sa.Column("state", _text(), nullable=False, server_default="complete"))
    op.execute("UPDATE message SET state = 'unfinished' WHERE NOT complete")
    op.drop_column("message", "complete")
    op.add_column("message", sa.Column("model", _text(), nullable=True))
    op.add_column("message", sa.Column("occurred_at", _time(), nullable=True))
    for table in ("message", "clean_message"):
        op.add_column(table, sa.Column("structured", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("vote", sa.Column("reason", _text(), nullable=True))
    op.add_column("vote", sa.Column("sealed_comment", sa.LargeBinary(), nullable=True))
    for table in ("vote", "comparison"):
        op.add_column(table, sa.Column("at", _time(), nullable=True))
    for table in ("vote", "correction", "comparison"):
        op.add_column(table, sa.Column("source", _text(), nullable=False, server_default="person"))


def downgrade() -> None:
    """Fails where a message is more than text: the code of before would take its JSON for what somebody said."""
    rich = op.get_bind().execute(sa.text("SELECT count(*) FROM message WHERE structured")).scalar()
    if rich:
        raise RuntimeError(f"{rich} messages hold more than text, which the version before this cannot read")
    for table in ("vote", "correction", "comparison"):
        op.drop_column(table, "source")
    for table in ("vote", "comparison"):
        op.drop_column(table, "at")
    op.drop_column("vote", "sealed_comment")
    op.drop_column("vote", "reason")
    for table in ("message", "clean_message"):
        op.drop_column(table, "structured")
    op.drop_column("message", "occurred_at")
    op.drop_column("message", "model")
    op.add_column("message", sa.Column("complete", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.execute("UPDATE message SET complete = (state = 'complete')")
    op.drop_column("message", "state")
