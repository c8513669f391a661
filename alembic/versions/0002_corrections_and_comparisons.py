"""Corrections, comparisons, and what each round made of every piece of feedback.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
import sqlmodel

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "correction",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("app_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("corrected_message_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("message_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("person_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("retracted_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("refused", sqlmodel.sql.sqltypes.AutoString(), nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_correction_app_id")),
        sa.ForeignKeyConstraint(
            ["corrected_message_id"], ["message.id"], name=op.f("fk_correction_corrected_message_id")
        ),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_correction_message_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_correction_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
        sa.UniqueConstraint("message_id", name=op.f("uq_correction_message_id")),
    )
    with op.batch_alter_table("correction", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_correction_corrected_message_id"), ["corrected_message_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_correction_person_id"), ["person_id"], unique=False)

    op.create_table(
        "comparison",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("app_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("rater_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("first_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("second_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("updated_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_comparison_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison")),
        sa.UniqueConstraint(
            "app_id",
            "rater_hmac",
            "first_hmac",
            "second_hmac",
            name=op.f("uq_comparison_app_id_rater_hmac_first_hmac_second_hmac"),
        ),
    )
    op.create_table(
        "comparison_event",
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("app_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("rater_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("first_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("second_hmac", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["app.id"], name=op.f("fk_comparison_event_app_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparison_event")),
    )
    for table in ("comparison", "comparison_event"):
        with op.batch_alter_table(table, schema=None) as batch_op:
            for column in ("first_hmac", "second_hmac"):
                batch_op.create_index(batch_op.f(f"ix_{table}_{column}"), [column], unique=False)

    op.create_table(
        "feedback_fate",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round_id", sa.Integer(), nullable=False),
        sa.Column("conversation_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("message_id", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("rater", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("kind", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.Column("outcome", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("rule", sqlmodel.sql.sqltypes.AutoString(), nullable=False),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["round_id"], ["round.id"], name=op.f("fk_feedback_fate_round_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback_fate")),
    )
    with op.batch_alter_table("feedback_fate", schema=None) as batch_op:
        for column in ("round_id", "conversation_id", "rater"):
            batch_op.create_index(batch_op.f(f"ix_feedback_fate_{column}"), [column], unique=False)


def downgrade() -> None:
    """Texts of corrections go with their table: left behind, they would pass for answers of the assistant."""
    texts = "SELECT message_id FROM correction"
    op.execute(f"DELETE FROM clean_message WHERE message_id IN ({texts})")
    op.execute(
        f"CREATE TEMPORARY TABLE gone_text AS {texts}"  # the messages cannot go while corrections name them
    )
    for table in ("feedback_fate", "comparison_event", "comparison", "correction"):
        op.drop_table(table)
    op.execute("DELETE FROM message WHERE id IN (SELECT message_id FROM gone_text)")
    op.execute("DROP TABLE gone_text")
